//! The places of a JSON text that a test can change: found in the bytes, so that everything else stays as it was written.

#![allow(dead_code, unreachable_pub)] // Each test binary uses a part.

use std::ops::Range;

/// The sort of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// One member of an object, one element of an array, or the whole text.
#[derive(Debug, Clone)]
pub struct Site {
    /// Such as `pull_request.labels[0].name`; `$` for the whole.
    pub path: String,
    pub sort: Sort,
    /// The value's bytes.
    pub value: Range<usize>,
    /// The bytes without which the text is JSON without this member; none for the whole.
    pub removal: Option<Range<usize>>,
}

impl Site {
    /// The name of the member, without the elements behind it.
    pub fn member(&self) -> &str {
        let last = self.path.rsplit('.').next().unwrap_or_default();
        last.split('[').next().unwrap_or_default()
    }
}

/// `text` with `range` replaced.
pub fn splice(text: &[u8], range: &Range<usize>, with: &str) -> Vec<u8> {
    let mut changed = Vec::with_capacity(text.len() + with.len());
    changed.extend_from_slice(&text[..range.start]);
    changed.extend_from_slice(with.as_bytes());
    changed.extend_from_slice(&text[range.end..]);
    changed
}

/// The whole, every member of every object, and every element of every array.
///
/// # Panics
/// `text` is no JSON.
pub fn sites(text: &[u8]) -> Vec<Site> {
    let mut scan = Scan { text, at: 0, sites: Vec::new() };
    scan.value("$");
    scan.sites
}

struct Scan<'t> {
    text: &'t [u8],
    at: usize,
    sites: Vec<Site>,
}

impl Scan<'_> {
    fn space(&mut self) {
        while self.text[self.at].is_ascii_whitespace() {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Range<usize> {
        let start = self.at;
        self.at += 1;
        while self.text[self.at] != b'"' {
            self.at += if self.text[self.at] == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        start..self.at
    }

    /// Reads a value and notes it; gives the place of its site.
    fn value(&mut self, path: &str) -> usize {
        self.space();
        let start = self.at;
        let place = self.sites.len();
        self.sites.push(Site { path: path.to_owned(), sort: Sort::Null, value: start..start, removal: None });
        let sort = match self.text[start] {
            b'{' => self.object(path),
            b'[' => self.array(path),
            b'"' => {
                self.string();
                Sort::String
            }
            first => {
                while self.at < self.text.len() && !b",]} \t\r\n".contains(&self.text[self.at]) {
                    self.at += 1;
                }
                match first {
                    b't' | b'f' => Sort::Bool,
                    b'n' => Sort::Null,
                    _ => Sort::Number,
                }
            }
        };
        let site = &mut self.sites[place];
        site.sort = sort;
        site.value.end = self.at;
        place
    }

    fn object(&mut self, path: &str) -> Sort {
        let mut places = Vec::new();
        self.items(b'}', |scan, start| {
            let key = scan.string();
            let key = String::from_utf8(scan.text[key.start + 1..key.end - 1].to_vec()).expect("UTF-8");
            scan.space();
            scan.at += 1; // The colon.
            let path = if path == "$" { key } else { format!("{path}.{key}") };
            places.push((start, scan.value(&path), scan.at));
        });
        self.removals(&places);
        Sort::Object
    }

    fn array(&mut self, path: &str) -> Sort {
        let (mut places, mut index, whole) = (Vec::new(), 0usize, path == "$");
        self.items(b']', |scan, start| {
            let path = if whole { format!("[{index}]") } else { format!("{path}[{index}]") };
            places.push((start, scan.value(&path), scan.at));
            index += 1;
        });
        self.removals(&places);
        Sort::Array
    }

    /// Calls `item` at each item up to the closing bracket, with where it starts.
    fn items(&mut self, close: u8, mut item: impl FnMut(&mut Self, usize)) {
        self.at += 1;
        loop {
            self.space();
            match self.text[self.at] {
                byte if byte == close => break,
                b',' => self.at += 1,
                _ => item(self, self.at),
            }
        }
        self.at += 1;
    }

    /// An item goes with the comma before it; the first one with the comma behind it.
    fn removals(&mut self, places: &[(usize, usize, usize)]) {
        for (index, (start, place, end)) in places.iter().enumerate() {
            let removal = match (index.checked_sub(1).map(|before| places[before].2), places.get(index + 1)) {
                (Some(end_before), _) => end_before..*end,
                (None, Some((start_behind, ..))) => *start..*start_behind,
                (None, None) => *start..*end,
            };
            self.sites[*place].removal = Some(removal);
        }
    }
}

#[test]
fn every_removal_leaves_json_without_the_member() {
    let text = br#" { "a" : [1, {"b":"x\"}"} , 3,4], "c": {}, "d": [ [] ] , "e":null } "#;
    let sites = sites(text);
    let paths: Vec<_> = sites.iter().map(|site| site.path.as_str()).collect();
    assert_eq!(paths, ["$", "a", "a[0]", "a[1]", "a[1].b", "a[2]", "a[3]", "c", "d", "d[0]", "e"]);
    let without = |path: &str| {
        let site = sites.iter().find(|site| site.path == path).unwrap();
        let text = splice(text, site.removal.as_ref().unwrap(), "");
        serde_json::from_slice::<serde_json::Value>(&text).unwrap().to_string()
    };
    assert_eq!(without("a"), r#"{"c":{},"d":[[]],"e":null}"#);
    assert_eq!(without("a[0]"), r#"{"a":[{"b":"x\"}"},3,4],"c":{},"d":[[]],"e":null}"#);
    assert_eq!(without("a[1]"), r#"{"a":[1,3,4],"c":{},"d":[[]],"e":null}"#);
    assert_eq!(without("a[3]"), r#"{"a":[1,{"b":"x\"}"},3],"c":{},"d":[[]],"e":null}"#);
    assert_eq!(without("d[0]"), r#"{"a":[1,{"b":"x\"}"},3,4],"c":{},"d":[],"e":null}"#);
    assert_eq!(without("e"), r#"{"a":[1,{"b":"x\"}"},3,4],"c":{},"d":[[]]}"#);
}
