//! Edits of documents, and what they may cost.

use super::super::allow::Allow;
use super::super::body::TooMany;
use super::super::operations::Parameters;
use super::Document;

/// What is done to a document.
type Edit<'e> = &'e dyn Fn(&mut Document<'_>);

fn edited(body: &str, nested: bool, edits: impl Fn(&mut Document<'_>)) -> Result<String, TooMany> {
    let mut document = Document::read(body.as_bytes(), nested).unwrap();
    edits(&mut document);
    let text = document.finish()?.unwrap_or_else(|| body.as_bytes().to_vec());
    Ok(String::from_utf8(text).unwrap())
}

#[test]
fn what_nobody_names_stays_as_it_is() {
    let body = r#"{ "a" : 1.50, "\u0062": [1e3 , {"x": 12345678901234567890123 }], "c":null}"#;
    assert_eq!(edited(body, true, |document| document.remove(b"z.z")).unwrap(), body);
    let without_a = edited(body, true, |document| document.remove(b"a")).unwrap();
    assert_eq!(without_a, r#"{"\u0062": [1e3 , {"x": 12345678901234567890123 }],"c":null}"#);
    let inside = edited(body, true, |document| document.replace(b"b[2].x", b"2")).unwrap();
    assert_eq!(inside, r#"{"a" : 1.50,"\u0062": [1e3,{"x":2}],"c":null}"#);
}

#[test]
fn paths_lead_to_members_and_items() {
    let body = r#"{"l":[{"a":1,"b":"x"},{"a":false},3],"o":{"p":{"q":1}},"o.p":0}"#;
    let cases: [(&str, Edit<'_>); 12] = [
        (r#"{"l":[{"b":"x"},{},3],"o":{"p":{"q":1}},"o.p":0}"#, &|d: &mut Document<'_>| d.remove(b"l[*].a")),
        (r#"{"l":[{"a":1,"b":"x"},{"a":false}],"o":{"p":{"q":1}},"o.p":0}"#, &|d| d.remove(b"l[3]")),
        (r#"{"l":[],"o":{"p":{"q":1}},"o.p":0}"#, &|d| d.remove(b"l[*]")),
        (r#"{"l":[{"b":"x","a":5},{"a":false},3],"o":{"p":{"q":1}},"o.p":0}"#, &|d| d.replace(b"l[*].a", b"5")),
        (r#"{"l":[{"a":1,"b":"x"},{"a":5},3],"o":{"p":{"q":1}},"o.p":0}"#, &|d| d.add(b"l[*].a", b"5")),
        (r#"{"l":[5,5,5],"o":{"p":{"q":1}},"o.p":0}"#, &|d| d.replace(b"l[*]", b"5")),
        (r#"{"l":[{"a":1,"b":["x",5]},{"a":false,"b":[5]},3],"o":{"p":{"q":1}},"o.p":0}"#, &|d| {
            d.append(b"l[*].b", b"5");
        }),
        (r#"{"l":[{"a":1,"c":"x"},{"a":false},3],"o":{"p":{"q":1}},"o.p":0}"#, &|d| d.rename(b"l[*].b", b"c")),
        (r#"{"l":[{"a":1,"b":"x"},{"a":false},3],"o":{"p":{"q":1,"r":2}},"o.p":0}"#, &|d| d.add(b"o.p.r", b"2")),
        (body, &|d| d.add(b"o.none.r", b"2")),
        (body, &|d| d.append(b"l[9]", b"2")),
        (body, &|d| d.replace(b"o.p", b"")),
    ];
    for (expected, edit) in cases {
        assert_eq!(edited(body, true, edit).unwrap(), expected);
    }
    let literal = edited(body, false, |document| document.remove(b"o.p")).unwrap();
    assert_eq!(literal, r#"{"l":[{"a":1,"b":"x"},{"a":false},3],"o":{"p":{"q":1}}}"#);
}

#[test]
fn the_last_member_of_a_name_counts() {
    let body = r#"{"a":1,"\u0061":2}"#;
    assert_eq!(edited(body, true, |document| document.replace(b"a", b"3")).unwrap(), r#"{"a":3}"#);
    assert_eq!(edited(body, true, |document| document.remove(b"a")).unwrap(), "{}");
    assert_eq!(edited(body, true, |document| document.rename(b"a", b"b")).unwrap(), r#"{"b":2}"#);
}

#[test]
fn an_allow_list_leaves_what_it_names() {
    let kept = |body: &str, names: &[&str], nested| {
        edited(body, nested, |document| document.keep(&Allow::new(names.iter().copied(), nested))).unwrap()
    };
    assert_eq!(kept(r#"{"a":1,"b":{"c":2},"d":3,"a.b":4}"#, &["a", "a.b"], false), r#"{"a":1,"a.b":4}"#);
    let body = r#"{"a":1,"b":{"c":2,"d":[1,{"e":1,"f":2}]},"g":[{"h":1},2]}"#;
    assert_eq!(kept(body, &["b.c", "b.d[2].f", "g[*].h", "a.x"], true), r#"{"b":{"c":2,"d":[{"f":2}]},"g":[{"h":1}]}"#);
    assert_eq!(kept(body, &["b", "b.c"], true), r#"{"b":{"c":2,"d":[1,{"e":1,"f":2}]}}"#);
    assert_eq!(kept(body, &[], true), "{}");
    assert_eq!((kept("[1]", &["a"], true), kept("1", &["a"], true)), ("[]".to_owned(), "{}".to_owned()));
    assert_eq!(kept(r#"[{"a":1,"b":2}]"#, &["[*].a"], true), r#"[{"a":1}]"#);
}

#[test]
fn work_and_growth_are_bounded() {
    let long = format!("[{}]", vec!["{}"; 300_000].join(","));
    assert_eq!(edited(&long, true, |document| document.add(b"[*].a", b"1")), Err(TooMany));
    let some = format!("[{}]", vec!["{}"; 1000].join(","));
    let large = vec![b'1'; 64 * 1024];
    assert_eq!(edited(&some, true, |document| document.add(b"[*].a", &large)), Err(TooMany));
    let many = |document: &mut Document<'_>| (0..10_000).for_each(|_| document.append(b"[*].a", b"1"));
    assert_eq!(edited(&some, true, many), Err(TooMany));
    let (open, close) = (r#"{"a":"#.repeat(900), "}".repeat(900));
    let deep = format!("{open}\"{}\"{close}", "x".repeat(1 << 20));
    let path = vec!["a"; 900].join(".");
    assert_eq!(edited(&deep, true, |document| document.remove(path.as_bytes())), Err(TooMany));
    let deepest = format!("{}1{}", "[".repeat(1001), "]".repeat(1001));
    assert!(Document::read(deepest.as_bytes(), true).is_none());
}
