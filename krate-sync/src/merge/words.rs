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

/// Not 0 where two texts of one length differ, or `of` finds something in the first. The last eight bytes are taken whole, whatever came before.
#[inline]
fn fold(one: &[u8], other: &[u8], of: impl Fn(u64) -> u64) -> u64 {
    let word = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
    let found = |one: [u8; 8], other: [u8; 8]| (word(one) ^ word(other)) | of(word(one));
    let (Some(last), Some(other_last)) = (one.last_chunk(), other.last_chunk()) else {
        return found(padded(one), padded(other));
    };
    let pairs = one.as_chunks().0.iter().zip(other.as_chunks().0);
    pairs.fold(found(*last, *other_last), |all, (one, other)| all | found(*one, *other))
}

/// Fewer than eight bytes, and blanks, which are nothing special.
#[inline]
fn padded(bytes: &[u8]) -> [u8; 8] {
    let mut whole = [b' '; 8];
    whole.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
    whole
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
    use proptest::prelude::{prop_assert_eq, proptest};

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
            }
        }
    }

    #[test]
    fn long_texts_are_compared_to_their_end() {
        let long = "a".repeat(SHORT + 9);
        assert!(equal(&long, &long.clone()));
        assert!(!equal(&long, &format!("{}b", &long[1..])));
    }
}
