//! Values that count once each: the measure `distinct` (DOMAIN §4).

use crate::condition::{Exact, Field, NumberField};
use crate::hash::value_hash;
use crate::{Event, TextField};

/// A field of which different values are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Values(Field);

impl Values {
    /// Of `field`.
    ///
    /// # Errors
    /// What the field is instead, where its values say nothing.
    pub(super) fn of(field: Field) -> Result<Self, &'static str> {
        match field {
            Field::Time(_) => Err("is a time: days and weeks are counted by a streak"),
            Field::Text(TextField::PlayerId) => Err("is the same in all events of a player"),
            field => Ok(Values(field)),
        }
    }

    /// Names the value in `event`, by [`value_hash`]; `None` where it is absent, an object or an array. Numbers are equal by
    /// value, texts by their characters, and no number is a text. An amount is one of its currency.
    pub(super) fn name(&self, event: &Event<'_>) -> Option<i128> {
        let mut bytes = Vec::with_capacity(64);
        let mut write = |kind: u8, value: &[u8]| {
            bytes.push(kind);
            bytes.extend_from_slice(value);
        };
        match &self.0 {
            Field::Text(field) => write(b't', event.text(*field)?.as_bytes()),
            Field::Number(field) => {
                // The currency comes behind what has a fixed length.
                write(b'd', &field.value(event)?.raw().to_le_bytes());
                if matches!(field, NumberField::Amount | NumberField::BonusAmount) {
                    write(b'c', event.currency().as_bytes());
                }
            }
            Field::Granted => write(b'b', &[u8::from(event.granted()?)]),
            Field::Attribute(attribute) => match attribute.exact(event)? {
                Exact::Bool(value) => write(b'b', &[u8::from(value)]),
                Exact::Number(number) => write(b'n', number.as_bytes()),
                Exact::Text(text) => write(b't', text.as_bytes()),
            },
            Field::Time(_) => return None,
        }
        Some(value_hash(&bytes))
    }
}
