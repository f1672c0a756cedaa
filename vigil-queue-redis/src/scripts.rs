//! The scripts. Redis runs each as one step; all judge time by its clock.

use std::sync::LazyLock;

use deadpool_redis::redis::Script;

macro_rules! script {
    ($($name:ident = $file:literal;)+) => {$(
        pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!(include_str!("lua/head.lua"), include_str!($file))));
    )+};
}

script! {
    ENQUEUE = "lua/enqueue.lua";
    CLAIM = "lua/claim.lua";
    EXTEND = "lua/extend.lua";
    SETTLE = "lua/settle.lua";
    RESCUE = "lua/rescue.lua";
    MISSING = "lua/missing.lua";
    STATS = "lua/stats.lua";
    DEPTH = "lua/depth.lua";
    LETTERS = "lua/letters.lua";
}
