//! Responsible gambling as DOMAIN §4 tells it, from the list of everything that was read of a player.

use super::number::instant;
use super::record::{Order, Play};

/// One control event.
pub struct Control<'a> {
    /// Its place in the order.
    pub order: Order,
    name: &'a str,
    channel: Option<&'a str>,
    is_granted: bool,
    until: Option<i64>,
}

impl<'a> Control<'a> {
    /// What `play` says, if it is one.
    pub(super) fn of(play: &Play<'a>) -> Option<Self> {
        let is_control = ["self_excluded", "cooled_off", "exclusion_lifted", "consent_changed"].contains(&play.name);
        is_control.then(|| Control {
            order: play.order,
            name: play.name,
            channel: play.fields.text("channel"),
            is_granted: play.fields.raw("granted") == Some("true"),
            until: play.fields.text("until").and_then(instant),
        })
    }

    /// The reward's `channels` on which a completion may leave at `now`, when these were read; or why it may not, and the
    /// end of that.
    pub fn judge(read: &[&Self], channels: &[String], now: i64) -> Result<Vec<String>, (&'static str, Option<i64>)> {
        let last = |name: &str, channel: Option<&str>| {
            let of_it = read.iter().filter(|one| one.name == name && (channel.is_none() || one.channel == channel));
            of_it.max_by_key(|one| one.order)
        };
        let lifted = last("exclusion_lifted", None).map(|one| one.order);
        for reason in ["self_excluded", "cooled_off"] {
            let Some(one) = last(reason, None).filter(|one| Some(one.order) > lifted) else { continue };
            if one.until.is_none_or(|until| now < until) {
                return Err((reason, one.until));
            }
        }
        if last("consent_changed", None).is_none() {
            return Ok(channels.to_vec());
        }
        let is_open = |channel: &&String| last("consent_changed", Some(channel)).is_some_and(|one| one.is_granted);
        let open: Vec<String> = channels.iter().filter(is_open).cloned().collect();
        if open.is_empty() && !channels.is_empty() { Err(("no_consent", None)) } else { Ok(open) }
    }
}
