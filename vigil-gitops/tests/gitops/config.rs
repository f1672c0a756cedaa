//! The configuration: what is taken, and how a mistake is told.

use std::path::Path;
use std::time::Duration;

use vigil_gitops::{Config, Mode, Place};

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("gitopsd.yaml")).map_err(|error| error.to_string())
}

#[test]
fn a_mistake_is_told_with_file_line_and_key() {
    let source = |rest: &str| format!("server: http://a\nsources:\n  - name: shop\n{rest}\n");
    let kind = "    policies: {}\n    path: /srv\n";
    for (text, words) in [
        ("servr: http://a\n".to_owned(), ["line 1", "servr"]),
        ("interval_seconds: 0\n".to_owned(), ["line 1", "above 0"]),
        (source(&format!("{kind}    mod: warn")), ["line 6", "mod"]),
        (source(&format!("{kind}    mode: report")), ["line 6", "report"]),
        (source("    policies: {}"), ["line 3", "sources[0].path or git"]),
        (source("    path: /srv"), ["line 3", "policies: {}"]),
        (source(&format!("{kind}    git: {{url: /srv}}")), ["line 3", "one of them"]),
        (source("    policies: {}\n    git: {url: '--upload-pack=x'}"), ["line 3", "git.url"]),
        (source("    policies: {}\n    git: {url: /srv, branch: '-b'}"), ["line 3", "git.branch '-b'"]),
        (source("    policies: {}\n    git: {url: /srv, path: ../etc}"), ["line 3", "git.path"]),
        (source(&format!("{kind}    ignore: [{{pointers: [spec]}}]")), ["line 6", "no JSON pointer"]),
        (source(&format!("{kind}    ignore: [{{kinds: Job}}]")), ["line 6", "kinds"]),
        (source(&format!("{kind}    suspend: [{{from: '25:00', to: '06:00'}}]")), ["line 6", "25:00"]),
        (source(&format!("{kind}    suspend: [{{days: [monday], from: '22:00', to: '06:00'}}]")), ["line 6", "monday"]),
        (source(&format!("{kind}    cooldown_seconds: 9999999")), ["line 3", "cooldown_seconds"]),
        (source(&format!("{kind}  - name: shop\n{kind}")), ["line 6", "another source"]),
        ("sources:\n  - {name: Shop, path: /srv, policies: {}}\n".to_owned(), ["line 2", "sources[0].name"]),
    ] {
        let said = parse(&text).unwrap_err();
        assert!(said.starts_with("gitopsd.yaml: "), "{said}");
        for word in words {
            assert!(said.contains(word), "'{word}' is not in '{said}' of\n{text}");
        }
    }
}

#[test]
fn an_empty_file_has_the_documented_defaults() {
    let config = parse("# nothing\n").unwrap();
    assert_eq!((config.server.as_str(), config.interval), ("http://127.0.0.1:8000", Duration::from_secs(30)));
    assert_eq!((config.listen.to_string().as_str(), config.sources.len()), ("127.0.0.1:8083", 0));
    let one = parse("sources: [{name: a, path: p, policies: {}}]").unwrap().sources.remove(0);
    assert_eq!((one.mode, one.cooldown_seconds, one.place), (Mode::Warn, 300, Place::Path("p".into())));
    for (word, mode) in [("off", Mode::Off), ("warn", Mode::Warn), ("enforce", Mode::Enforce)] {
        let config = parse(&format!("sources: [{{name: a, mode: {word}, path: p, policies: {{}}}}]")).unwrap();
        assert_eq!(config.sources[0].mode, mode);
    }
}

#[test]
fn the_shipped_configuration_is_taken_with_every_key_it_shows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/gitopsd.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    parse(&text).unwrap();
    // A key that is commented out has no space behind the sign, or those of its depth; prose has exactly one.
    let is_key = |line: &&str| !line.starts_with(' ') || line.starts_with("  ");
    let shown: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix('#')).filter(is_key).collect();
    let config = parse(&shown.join("\n")).unwrap();
    let kinds: Vec<_> = config.sources.iter().map(|source| source.kind.word()).collect();
    #[cfg(all(feature = "kubernetes", feature = "compose", feature = "units"))]
    assert_eq!(kinds, ["policies", "kubernetes", "compose", "units"]);
    assert_eq!(kinds[0], "policies");
}
