//! [`At`]: a time on its way into the database and out of it. PostgreSQL keeps microseconds since 2000, as Vigil keeps them
//! since 1970; what lies beyond its range is infinite there
//! (<https://www.postgresql.org/docs/current/datatype-datetime.html>).

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Decode, Encode, Postgres, Type};
use vigil_core::clock::Timestamp;

/// A `timestamptz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At(pub(crate) Timestamp);

impl At {
    /// From 1970-01-01 to 2000-01-01.
    const EPOCH: i64 = 946_684_800_000_000;
    /// The years -4711 to 9999 or so: well within what PostgreSQL can hold.
    const FINITE: std::ops::RangeInclusive<i64> = -200_000_000_000_000_000..=253_402_300_800_000_000;
}

impl Type<Postgres> for At {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for At {
    fn array_type_info() -> PgTypeInfo {
        <DateTime<Utc> as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for At {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = self.0.as_micros();
        let stored = match micros {
            _ if Self::FINITE.contains(&micros) => micros - Self::EPOCH,
            0.. => i64::MAX,
            _ => i64::MIN,
        };
        buffer.extend_from_slice(&stored.to_be_bytes());
        Ok(IsNull::No)
    }

    fn size_hint(&self) -> usize {
        size_of::<i64>()
    }
}

impl Decode<'_, Postgres> for At {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let stored = <i64 as Decode<Postgres>>::decode(value)?;
        Ok(Self(match stored {
            i64::MIN => Timestamp::MIN,
            i64::MAX => Timestamp::MAX,
            stored => Timestamp::from_micros(stored.saturating_add(Self::EPOCH)),
        }))
    }
}
