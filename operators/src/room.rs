//! How vectors grow of which there are millions, with a few values each.

/// Room for `least` more at the next insertion, and for a quarter of what there is: a vector's own way is to double.
pub(crate) fn make_room<T>(values: &mut Vec<T>, least: usize) {
    if values.len() == values.capacity() {
        values.reserve_exact(values.len() / 4 + least);
    }
}
