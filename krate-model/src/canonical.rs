//! Canonical JSON (RFC 8785): one byte string for one value, so that digests and keys can be compared.

use serde::Serialize;

use crate::Digest;

/// The value can't be written as JSON: a map key that isn't text, or a number that isn't finite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not representable as canonical JSON: {message}")]
pub struct NotCanonical {
    message: String,
}

/// `value` as canonical JSON.
///
/// ```
/// let text = krate_model::canonical_json(&serde_json::json!({"b": 1, "a": [true, null]})).unwrap();
/// assert_eq!(text, r#"{"a":[true,null],"b":1}"#);
/// ```
///
/// # Errors
/// [`NotCanonical`] when `value` serializes to something that JSON doesn't have.
pub fn canonical_json<T: Serialize + ?Sized>(value: &T) -> Result<String, NotCanonical> {
    serde_json_canonicalizer::to_string(&value).map_err(|error| NotCanonical { message: error.to_string() })
}

/// The digest of `value`'s canonical JSON.
///
/// # Errors
/// As [`canonical_json`].
pub fn canonical_digest<T: Serialize + ?Sized>(value: &T) -> Result<Digest, NotCanonical> {
    canonical_json(value).map(|text| Digest::of(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8785 section 3.2.2 and 3.2.3: the input of the RFC and its canonical form, in UTF-8 as section 3.2.4 lists it.
    #[test]
    fn rfc8785_the_complete_sample_of_section_3_2() {
        let input = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        let value: serde_json::Value = serde_json::from_str(input).unwrap();
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(canonical_json(&value).unwrap(), expected);
    }

    #[test]
    fn rfc8785_keys_are_sorted_by_utf16_code_units() {
        let input = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
            "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        let value: serde_json::Value = serde_json::from_str(input).unwrap();
        let text = canonical_json(&value).unwrap();
        let expected = [
            "Carriage Return",
            "One",
            "Control",
            "Latin Small Letter O With Diaeresis",
            "Euro Sign",
            "Emoji: Grinning Face",
            "Hebrew Letter Dalet With Dagesh",
        ];
        let positions: Vec<usize> = expected.iter().map(|name| text.find(name).unwrap()).collect();
        assert!(positions.is_sorted(), "{text}");
    }

    /// RFC 8785 appendix B: IEEE 754 bit patterns and their text.
    #[test]
    fn rfc8785_appendix_b_numbers() {
        let cases: &[(u64, &str)] = &[
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ];
        for (bits, expected) in cases {
            assert_eq!(&canonical_json(&f64::from_bits(*bits)).unwrap(), expected, "{bits:#x}");
        }
        assert!(canonical_json(&f64::NAN).is_err());
        assert!(canonical_json(&f64::INFINITY).is_err());
    }
}
