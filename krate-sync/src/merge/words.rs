//! Short texts, eight bytes at a time. A call that compares memory costs as much as comparing a title does.

/// Texts beyond this length are worth the call.
const SHORT: usize = 64;

/// Whether two texts are the same.
#[inline]
pub(super) fn equal(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    one.len() == other.len() && if one.len() > SHORT { one == other } else { fold(one, other, |_| 0) == 0 }
}

/// Whether `inner`, which stands between the quotes of a JSON text, has nothing but what it says, and that is `value`.
#[inline]
pub(super) fn is_plainly(inner: &str, value: &str) -> bool {
    inner.len() == value.len() && fold(inner.as_bytes(), value.as_bytes(), special) == 0
}

/// Whether what stands between quotes is what they say: no escape, no quote, no control character.
#[inline]
pub(super) fn is_plain(inner: &str) -> bool {
    fold(inner.as_bytes(), inner.as_bytes(), special) == 0
}

/// Whether `inner`, which stands between the quotes of a JSON text, has nothing but what it says, and that is both values. `None` for texts that are too
/// short or too long for it to be worth asking so.
#[inline]
pub(super) fn is_plainly_both(inner: &str, one: &str, other: &str) -> Option<bool> {
    let (inner, one, other) = (inner.as_bytes(), one.as_bytes(), other.as_bytes());
    if inner.len() != one.len() || inner.len() != other.len() {
        return Some(false);
    }
    if inner.len() > SHORT {
        return None;
    }
    // The last sixteen bytes are taken whole, whatever came before.
    let mut found = marks(inner.last_chunk()?, one.last_chunk()?, other.last_chunk()?);
    let values = one.as_chunks().0.iter().zip(other.as_chunks().0);
    for (inner, (one, other)) in inner.as_chunks().0.iter().zip(values) {
        let more = marks(inner, one, other);
        found.iter_mut().zip(more).for_each(|(found, more)| *found |= more);
    }
    Some(u128::from_le_bytes(found) == 0)
}

/// Not 0 where three texts differ or the first has something special. Without branches, so that one wide register does it.
#[inline]
fn marks(inner: &[u8; 16], one: &[u8; 16], other: &[u8; 16]) -> [u8; 16] {
    let mut marks = [0; 16];
    for (mark, (inner, (one, other))) in marks.iter_mut().zip(inner.iter().zip(one.iter().zip(other))) {
        let special = u8::from(*inner < b' ') | u8::from(*inner == b'"') | u8::from(*inner == b'\\');
        *mark = (inner ^ one) | (inner ^ other) | special;
    }
    marks
}

/// How many bytes at the beginning of both texts are the same and nothing special.
#[inline]
pub(super) fn plain_in_common(one: &[u8], other: &[u8]) -> usize {
    let mut common = 0_usize;
    for (one, other) in one.as_chunks().0.iter().zip(other.as_chunks().0) {
        let found = (u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other)) | special(u64::from_le_bytes(*one));
        if found != 0 {
            // The lowest byte in which anything is set comes first in the text.
            return common.saturating_add(usize::try_from(found.trailing_zeros() / 8).unwrap_or(0));
        }
        common = common.saturating_add(8);
    }
    let last = one.iter().skip(common).zip(other.iter().skip(common));
    let plain = |(one, other): &(&u8, &u8)| one == other && special(padded(&[**one])) == 0;
    common.saturating_add(last.take_while(plain).count())
}

/// Equal for texts that are the same in either case of ASCII's letters; hardly ever for others.
#[inline]
pub(super) fn key(text: &str) -> u64 {
    const LOWER: u64 = u64::MAX / 255 * 0x20;
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) else { return padded(bytes) | LOWER };
    let (first, last) = (u64::from_le_bytes(*first) | LOWER, u64::from_le_bytes(*last) | LOWER);
    first ^ last.rotate_left(11)
}

/// Not 0 where two texts of one length differ, or `of` finds something in the first. The last eight bytes are taken whole, whatever came before.
#[inline]
fn fold(one: &[u8], other: &[u8], of: impl Fn(u64) -> u64) -> u64 {
    let found = |one: u64, other: u64| (one ^ other) | of(one);
    let (Some(last), Some(other_last)) = (one.last_chunk(), other.last_chunk()) else {
        return found(padded(one), padded(other));
    };
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let pairs = one.as_chunks().0.iter().zip(other.as_chunks().0);
    pairs.fold(found(word(last), word(other_last)), |all, (one, other)| all | found(word(one), word(other)))
}

/// Fewer than eight bytes, and blanks, which are nothing special.
#[inline]
fn padded(bytes: &[u8]) -> u64 {
    let mut whole = [b' '; 8];
    whole.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
    u64::from_le_bytes(whole)
}

/// Not 0 where one of eight bytes is a backslash, a quote or a control character: a subtraction borrows into the top bit of the lowest such byte.
#[inline]
const fn special(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let (quote, backslash) = (word ^ (ONES * 0x22), word ^ (ONES * 0x5c));
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (control | quote | backslash) & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn words_say_what_bytes_say(one in "([ -~]{0,17}[\"\\\\\u{7}\u{80}\u{20ac}]?){0,2}", at: usize, with in "[a \"\\\\]") {
            let mut other = one.clone();
            if let Some((at, char)) = one.char_indices().nth(at % one.len().max(1)) {
                other.replace_range(at..at + char.len_utf8(), &with);
            }
            let plain = !one.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\');
            prop_assert_eq!(is_plain(&one), plain);
            for against in [&one, &other] {
                prop_assert_eq!(equal(&one, against), one == *against);
                prop_assert_eq!(is_plainly(&one, against), plain && one == *against);
                for third in [&one, &other] {
                    let both = is_plainly_both(&one, against, third);
                    prop_assert!(both.is_none_or(|both| both == (plain && one == *against && one == *third)));
                    prop_assert!(both.is_some() || one.len() < 16 || one.len() > SHORT);
                }
                let common = plain_in_common(one.as_bytes(), against.as_bytes());
                let shared = one.bytes().zip(against.bytes()).take_while(|(one, other)| one == other);
                let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
                prop_assert_eq!(common, shared.take_while(|(byte, _)| is_plain(*byte)).count());
                prop_assert!(!one.eq_ignore_ascii_case(against) || key(&one) == key(against));
            }
            prop_assert_eq!(key(&one), key(&one.to_ascii_uppercase()));
        }
    }

    #[test]
    fn long_texts_are_compared_to_their_end() {
        let long = "a".repeat(SHORT + 9);
        assert!(equal(&long, &long.clone()));
        assert!(!equal(&long, &format!("{}b", &long[1..])));
    }
}
