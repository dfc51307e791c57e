//! The plugin as a whole; the parts have their tests beside them.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use serde_json::{Value, json};

use super::compile;
use crate::message::{Captures, Request, RequestHead, ResponseBody, Scheme, Version};
use crate::phases::probe::in_exchange;
use crate::phases::{Flow, Phases, Plugin};
use crate::plugins::Place;

/// A request to change, and what becomes of it.
struct Trial {
    request: Request,
}

impl Trial {
    fn new(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let head = RequestHead::new(method.as_bytes(), path.as_bytes(), query.map(str::as_bytes), Version::Http11);
        let mut request = Request::new(head, IpAddr::V4(Ipv4Addr::LOCALHOST), Scheme::Http, "example.test".to_owned());
        request.upstream.path = path.as_bytes().to_vec();
        request.upstream.query = query.map(|query| query.as_bytes().to_vec());
        request.buffer_body(Bytes::new());
        Self { request }.with("Host", "example.test:8000")
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.request.head.headers.append(name, value).unwrap();
        self
    }

    fn body(mut self, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        self.request.buffer_body(Bytes::copy_from_slice(body.as_ref()));
        self.with("Content-Type", content_type)
    }

    fn captures(mut self, groups: &[(&str, &str)]) -> Self {
        let (mut text, mut spans) = (String::new(), Vec::new());
        for (_, value) in groups {
            let start = text.len();
            text.push_str(value);
            spans.push(Some((u32::try_from(start).unwrap(), u32::try_from(text.len()).unwrap())));
        }
        let names = groups.iter().map(|(name, _)| (!name.is_empty()).then(|| (*name).into())).collect();
        self.request.captures = Captures::new(text.as_bytes(), spans.into(), names);
        self
    }

    /// The status if the plugin answers.
    fn run(&mut self, config: Value) -> Option<u16> {
        match in_exchange(|exchange| plugin(config).access(&mut self.request, exchange)) {
            Flow::Continue | Flow::Later => None,
            Flow::Respond(response) => {
                assert!(matches!(response.body, ResponseBody::Message(_)));
                Some(response.status)
            }
        }
    }

    fn headers(&mut self, config: Value) -> Vec<String> {
        assert_eq!(self.run(config), None);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let lines = self.request.head.headers.iter().skip(1);
        lines.map(|(name, value)| format!("{}: {}", text(name), text(value))).collect()
    }

    fn query(&mut self, config: Value) -> Option<String> {
        assert_eq!(self.run(config), None);
        self.request.upstream.query.clone().map(|query| String::from_utf8(query).unwrap())
    }

    fn edited(&mut self, config: Value) -> Option<String> {
        assert_eq!(self.run(config), None);
        let body = self.request.body_changed().then(|| self.request.body().unwrap().to_vec());
        body.map(|body| String::from_utf8_lossy(&body).into_owned())
    }
}

fn plugin(config: Value) -> std::sync::Arc<dyn Plugin> {
    compile(config, &Place::default()).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn get(target: &str) -> Trial {
    Trial::new("GET", target)
}

fn json_body(body: &str) -> Trial {
    Trial::new("POST", "/").body("application/json; charset=utf-8", body)
}

fn form(body: &str) -> Trial {
    Trial::new("POST", "/").body("application/x-www-form-urlencoded", body)
}

fn refusals(config: Value) -> Vec<String> {
    let Err(errors) = compile(config, &Place::default()) else { return Vec::new() };
    errors.iter().map(|error| format!("{}: {}", error.field.as_deref().unwrap_or("-"), error.message)).collect()
}

#[test]
fn headers_are_worked_in_order() {
    let mut trial = get("/").with("h1", "old").with("X-Gone", "1").with("x-from", "moved").with("X-To", "lost");
    let lines = trial.headers(json!({
        "append": {"headers": ["X-List:b", "h1:more"]},
        "add": {"headers": ["H1:no", "X-New:a:b", "X-List:a", "x-gone:again"]},
        "replace": {"headers": ["H1:new", "x-absent:no"]},
        "rename": {"headers": ["X-From:X-To", "x-absent:x-other"]},
        "remove": {"headers": ["x-gone", "x-absent:ignored"]},
    }));
    assert_eq!(lines, ["h1: new", "x-to: moved", "X-New: a:b", "X-List: a", "x-gone: again", "X-List: b", "h1: more"]);
}

#[test]
fn host_is_only_replaced() {
    let config = json!({
        "remove": {"headers": ["host"]}, "rename": {"headers": ["Host:x-host"]},
        "add": {"headers": ["host:a"]}, "append": {"headers": ["HOST:b"]},
    });
    let mut trial = get("/");
    assert!(trial.headers(config).is_empty());
    assert_eq!(trial.request.upstream.host, None);
    assert!(trial.request.head.headers.contains("host"));

    let mut trial = get("/").with("x-h", "from-header");
    assert_eq!(trial.run(json!({"replace": {"headers": ["Host:$('b.' .. headers.host)"]}})), None);
    assert_eq!(trial.request.upstream.host.as_deref(), Some(&b"b.example.test:8000"[..]));
    assert!(trial.headers(json!({"rename": {"headers": ["x-h:host"]}})).is_empty());
    assert_eq!(trial.request.upstream.host.as_deref(), Some(&b"from-header"[..]));
    assert_eq!(trial.run(json!({"replace": {"headers": ["host:a b"]}})), Some(500));
    assert_eq!(trial.run(json!({"replace": {"headers": ["host:$(nil)"]}})), Some(500));
    assert_eq!(trial.run(json!({"replace": {"headers": ["host:"]}})), None);
}

#[test]
fn framing_is_not_for_plugins() {
    let config = json!({
        "remove": {"headers": ["content-length"]}, "rename": {"headers": ["x-a:Transfer-Encoding"]},
        "replace": {"headers": ["content-length:1"]}, "add": {"headers": ["transfer-encoding:chunked"]},
    });
    assert_eq!(get("/").with("Content-Length", "5").with("x-a", "1").headers(config), ["Content-Length: 5", "x-a: 1"]);
}

#[test]
fn an_empty_value_does_nothing() {
    let config = json!({"replace": {"headers": ["h1:"]}, "add": {"headers": ["h2:"]}, "append": {"headers": ["h1:"]}});
    assert_eq!(get("/").with("h1", "v").headers(config), ["h1: v"]);
    let config = json!({"add": {"headers": ["h2:$(nil)"]}});
    assert_eq!(get("/").headers(config), ["h2: "]);
}

#[test]
fn templates_see_the_request_as_it_came() {
    let mut trial = get("/?q=1&q=2&flag&user=ann").with("X-Old", "old").with("x-many", "a").with("X-Many", "b");
    let lines = trial.headers(json!({
        "remove": {"headers": ["x-old", "x-many"], "querystring": ["user"]},
        "add": {
            "headers": [
                "a:$(headers.x_old)-$(headers['X-OLD'])", "b:$(#headers.x_many)$(headers.x_many[2])",
                "c:$(query_params.q[2])$(query_params.flag)$(query_params.user or 'anon')$(query_params.gone)",
                "d:$(headers.host)", "e:$(uri_captures.v)$(shared.x)$(headers[1])",
            ],
            "querystring": ["old:$(headers['x-old'])", "user:$(query_params.user)2"],
        },
    }));
    assert_eq!(lines, ["a: old-old", "b: 2b", "c: 2trueann", "d: example.test:8000", "e: "]);
    assert_eq!(trial.request.upstream.query.as_deref(), Some(&b"flag&old=old&q=1&q=2&user=ann2"[..]));
}

#[test]
fn body_templates_see_old_headers_too() {
    let mut trial = json_body("{}").with("x-a", "old");
    let edited = trial.edited(json!({
        "replace": {"headers": ["x-a:new"]}, "add": {"body": ["a:$(headers.x_a)", "b:\"\\\n"]},
    }));
    assert_eq!(edited.as_deref(), Some(r#"{"a":"old","b":"\"\\\n"}"#));
    let body = json!({"add": {"body": ["a:$(headers.x_b)"], "headers": ["x-b:1"]}});
    assert_eq!(json_body("{}").edited(body).as_deref(), Some(r#"{"a":""}"#));
}

#[test]
fn failing_templates_answer_500() {
    for config in [
        json!({"add": {"headers": ["x:$(foo())"]}}),
        json!({"add": {"headers": ["x:$(a b)"]}}),
        json!({"remove": {"headers": ["x"]}, "replace": {"headers": ["absent:$(foo())"]}}),
        json!({"add": {"headers": ["x:$('a\\r\\nb: c')"]}}),
        json!({"add": {"headers": ["x:$('a\\0b')"]}}),
        json!({"append": {"headers": ["x:$(query_params.evil)"]}}),
        json!({"replace": {"headers": ["host:$(query_params.evil)"]}}),
        json!({"add": {"querystring": ["x:$(foo())"]}}),
        json!({"replace": {"uri": "/$(1 +)"}}),
        json!({"replace": {"uri": "/$(10 * uri_captures.user1)"}}),
        json!({"replace": {"uri": "x/$(1)"}}),
        json!({"add": {"querystring": ["x:$(('x'):rep(1e9))"]}}),
        json!({"http_method": "CONNECT"}),
    ] {
        assert_eq!(get("/?evil=a%0D%0Ab").run(config.clone()), Some(500), "{config}");
    }
    // A body template runs only where there is a body to edit.
    let config = json!({"add": {"body": ["x:$(foo())"]}});
    assert_eq!(get("/").run(config.clone()), None);
    assert_eq!(json_body("{}").run(config), Some(500));
}

#[test]
fn the_path_is_replaced_and_escaped() {
    let path = |template: &str| {
        let mut trial = get("/v2/u/7?q=a%20b").captures(&[("", "/v2/u"), ("v", "v2"), ("", "é/x")]);
        assert_eq!(trial.query(json!({"replace": {"uri": template}})).as_deref(), Some("q=a%20b"));
        String::from_utf8(trial.request.upstream.path).unwrap()
    };
    assert_eq!(path("/users/$(uri_captures['v'])/$(uri_captures[1])"), "/users/v2/v2");
    assert_eq!(path("/a b$(uri_captures[0])%20/$(uri_captures[2])"), "/a%20b/v2/u%20/%C3%A9/x");
    assert_eq!(path("/x#$(uri_captures.gone)"), "/x%23");
    assert_eq!(path(""), "/v2/u/7");
}

#[test]
fn methods_without_bodies_take_the_form_along() {
    for method in ["GET", "HEAD", "TRACE"] {
        let mut trial = Trial::new("POST", "/?b=1").body("application/x-www-form-urlencoded", "b=2&a=x+y&c");
        assert_eq!(trial.query(json!({"http_method": method})).as_deref(), Some("a=x%20y&b=1&b=2&c"));
        assert_eq!(trial.request.method(), method.as_bytes());
        assert_eq!(trial.request.body().unwrap(), &Bytes::new());
    }
    let mut trial = form("a=1");
    assert_eq!(trial.query(json!({"http_method": "PUT"})), None);
    assert_eq!((trial.request.method(), trial.request.body_changed()), (&b"PUT"[..], false));
    let mut trial = json_body("{}");
    assert_eq!(trial.query(json!({"http_method": "GET"})), None);
    assert!(!trial.request.body_changed());
}

#[test]
fn the_query_is_untouched_unless_it_is_edited() {
    let raw = "/?z=%7e&a=$&+,/:;?@&a&=x&&";
    assert_eq!(get(raw).query(json!({"add": {"headers": ["a:b"]}})).as_deref(), Some(&raw[2..]));
    assert_eq!(get(raw).query(json!({"remove": {"querystring": ["a"]}})).as_deref(), Some("%20%2C%2F%3A%3B%3F%40&z=~"));
    assert_eq!(get("/?a=1").query(json!({"remove": {"querystring": ["a"]}})), None);
    assert_eq!(get("/").query(json!({"add": {"querystring": ["q1:v1"]}})).as_deref(), Some("q1=v1"));
}

#[test]
fn the_query_is_worked_in_order() {
    let config = json!({
        "append": {"querystring": ["q1:v4", "new:1"]},
        "add": {"querystring": ["q1:no", "x[y][1]:a/b"]},
        "replace": {"querystring": ["q1:v2", "absent:no"]},
        "rename": {"querystring": ["old:$('re' .. 'named')", "absent:q1", "same:same"]},
        "remove": {"querystring": ["gone"]},
    });
    let query = get("/?q1=v1&q1=v3&gone&gone=1&old=o&same=s").query(config);
    assert_eq!(query.as_deref(), Some("new=1&q1=v2&q1=v4&renamed=o&same=s&x%5By%5D%5B1%5D=a%2Fb"));
}

#[test]
fn forms_are_edited() {
    let config = json!({
        "append": {"body": ["p1:v2"]}, "add": {"body": ["p1:no", "n:x y"]}, "replace": {"body": ["r:new", "no:no"]},
        "rename": {"body": ["o:n2"]}, "remove": {"body": ["gone"]},
    });
    let edited = form("p1=v1&r=1&r=2&gone=x&o=%26").edited(config);
    assert_eq!(edited.as_deref(), Some("n=x%20y&n2=%26&p1=v1&p1=v2&r=new"));
    assert_eq!(form("").edited(json!({"add": {"body": ["a:b"]}})).as_deref(), Some("a=b"));
    assert_eq!(form("").edited(json!({"remove": {"body": ["a"]}})), None);
    assert_eq!(form(&"a&".repeat(20_000)).run(json!({"remove": {"body": ["a"]}})), Some(413));
}

#[test]
fn json_members_are_edited() {
    let edit = |body: &str, config: Value| json_body(body).edited(config);
    let add = json!({"add": {"body": ["p1:v1"]}});
    assert_eq!(edit(r#"{"p1":"a"}"#, add.clone()), None);
    assert_eq!(edit(r#"{"p1":null}"#, add.clone()), None);
    assert_eq!(edit(r#"{"p1":false}"#, add.clone()).as_deref(), Some(r#"{"p1":"v1"}"#));
    assert_eq!(edit("", add.clone()).as_deref(), Some(r#"{"p1":"v1"}"#));
    assert_eq!(edit(r#" { "z" : 1.50 , "a":[ ] } "#, add).as_deref(), Some(r#"{"z" : 1.50,"a":[ ],"p1":"v1"}"#));

    let append = json!({"append": {"body": ["p1:v1"]}});
    for (body, edited) in [
        (r#"{"p1":"a"}"#, r#"{"p1":["a","v1"]}"#),
        (r#"{"p1":1}"#, r#"{"p1":["v1"]}"#),
        (r#"{"p1":null}"#, r#"{"p1":["v1"]}"#),
        (r#"{"p1":[ ]}"#, r#"{"p1":["v1"]}"#),
        (r#"{"p1":[1,{"a":2}]}"#, r#"{"p1":[1,{"a":2},"v1"]}"#),
        (r#"{"p1":{"a":2}}"#, r#"{"p1":[{"a":2},"v1"]}"#),
        ("{}", r#"{"p1":["v1"]}"#),
        ("", r#"{"p1":["v1"]}"#),
    ] {
        assert_eq!(edit(body, append.clone()).as_deref(), Some(edited), "{body}");
    }
    let twice = json!({"append": {"body": ["p1:a", "p1:b"]}});
    assert_eq!(edit("{}", twice).as_deref(), Some(r#"{"p1":["a","b"]}"#));

    let remove = json!({"remove": {"body": ["p1", "p2"]}});
    assert_eq!(edit(r#"{"p1":1,"keep":[],"p2":{"p1":1}}"#, remove.clone()).as_deref(), Some(r#"{"keep":[]}"#));
    assert_eq!(edit(r#"{"p1":1}"#, remove.clone()).as_deref(), Some("{}"));
    assert_eq!(edit(r#"{"keep":{"p1":1}}"#, remove.clone()), None);
    assert_eq!(edit("", remove), None);

    let rename = json!({"rename": {"body": ["old:new", "gone:keep"]}});
    assert_eq!(edit(r#"{"old":1,"new":2,"keep":3}"#, rename).as_deref(), Some(r#"{"keep":3,"new":1}"#));

    let replace = json!({"replace": {"body": ["a:x", "b:y", "c:z"]}});
    assert_eq!(edit(r#"{"a":1,"b":false}"#, replace).as_deref(), Some(r#"{"a":"x","b":false}"#));
}

#[test]
fn json_cannot_slip_past() {
    let remove = json!({"remove": {"body": ["admin"]}});
    for body in [r#"{"admin":1,"admin":2}"#, r#"{"\u0061dmin":true}"#, "{\"admin\":1,\"x\":2}\n"] {
        let edited = json_body(body).edited(remove.clone()).unwrap();
        assert!(!edited.contains("dmin"), "{edited}");
    }
    let mut trial = Trial::new("POST", "/").body("Application/JSON", b"{\"admin\":1,\"x\":\"\xff\"}");
    assert_eq!(trial.run(remove.clone()), None);
    assert_eq!(&trial.request.body().unwrap()[..], b"{\"x\":\"\xff\"}");
    let deep = format!(r#"{{"a":{}1{},"admin":1}}"#, "[".repeat(900), "]".repeat(900));
    assert!(!json_body(&deep).edited(remove.clone()).unwrap().contains("admin"));

    let too_deep = format!(r#"{{"a":{}1{},"admin":1}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        "malformed",
        "[1]",
        "\"admin\"",
        "1",
        " ",
        "{",
        r#"{"admin":1"#,
        r#"{"admin":1}}"#,
        r#"{"admin":}"#,
        r#"{"admin":1,}"#,
        r"{admin:1}",
        r#"{"admin":01x}"#,
        r#"{"a":"\x","admin":1}"#,
        r#"{"a":[1,],"admin":1}"#,
        r#"{"a":{"b"},"admin":1}"#,
        r#"{"a":[1}],"admin":1}"#,
        r#"{"admin" 1}"#,
        r#"{"a":tru,"admin":1}"#,
        &too_deep,
    ] {
        assert_eq!(json_body(body).edited(remove.clone()), None, "{body}");
    }
}

#[test]
fn other_bodies_are_left_alone() {
    let config = json!({"add": {"body": ["a:b"]}});
    assert_eq!(Trial::new("POST", "/").body("text/plain", "x").edited(config.clone()), None);
    assert_eq!(Trial::new("POST", "/").edited(config.clone()), None);
    assert_eq!(json_body("{}").with("Content-Encoding", "gzip").edited(config.clone()), None);
    assert!(json_body("{}").with("Content-Encoding", "identity").edited(config).is_some());
}

#[test]
fn a_body_is_asked_for_only_where_it_is_edited() {
    let needs = |config: Value, trial: Trial| {
        let plugin = plugin(config);
        plugin.phases().has(Phases::REQUEST_BODY) && plugin.needs_request_body(&trial.request.head)
    };
    let edits = json!({"remove": {"body": ["a"]}});
    assert!(needs(edits.clone(), json_body("")) && needs(edits.clone(), form("")));
    assert!(!needs(edits.clone(), get("/")) && !needs(edits, get("/").with("Content-Type", "text/plain")));
    assert!(!needs(json!({"add": {"headers": ["a:b"]}}), json_body("")));
    assert!(needs(json!({"http_method": "GET"}), form("")) && !needs(json!({"http_method": "GET"}), json_body("")));
    assert!(!needs(json!({"http_method": "POST"}), form("")));
    let typed = json!({"add": {"headers": ["Content-Type:application/json"], "body": ["a:b"]}});
    assert!(needs(typed.clone(), get("/")));
    let mut trial = get("/");
    assert_eq!(trial.edited(typed).as_deref(), Some(r#"{"a":"b"}"#));
}

#[test]
fn what_is_wrong_is_named() {
    let both = |field: &str, item: &str| refusals(json!({field: {"body": [item], "querystring": [item]}}));
    for field in ["rename", "replace", "add", "append"] {
        for item in ["x", "x:"] {
            let found =
                [format!("{field}.body: key 'x' has no value"), format!("{field}.querystring: key 'x' has no value")];
            assert_eq!(both(field, item), found);
        }
        let found = both(field, "x:$(uri_captures user2)");
        assert_eq!(
            found[1],
            format!(
                "{field}.querystring: value '$(uri_captures user2)' is not in supported format, \
                 error:unexpected symbol near 'user2'"
            )
        );
    }
    assert!(both("remove", "x").is_empty());
    for field in ["replace", "add", "append"] {
        assert_eq!(refusals(json!({field: {"headers": ["x"]}})), [format!("{field}.headers: invalid value: x")]);
        assert!(refusals(json!({field: {"headers": ["x:", "x:$(a b)", "x:a;b c"]}})).is_empty());
        assert_eq!(
            refusals(json!({field: {"headers": ["a b:c"]}})),
            [format!("{field}.headers: 'a b' is not a valid header")]
        );
        assert_eq!(
            refusals(json!({field: {"headers": ["x:a\rb"]}})),
            [format!("{field}.headers: the value of header 'x' must not contain control characters")]
        );
    }
    assert_eq!(refusals(json!({"remove": {"headers": ["a b"]}})), ["remove.headers: 'a b' is not a valid header"]);
    assert_eq!(refusals(json!({"rename": {"headers": ["a:b c"]}})), ["rename.headers: 'b c' is not a valid header"]);
    assert_eq!(refusals(json!({"rename": {"headers": ["a"]}})), ["rename.headers: key 'a' has no value"]);
    assert_eq!(refusals(json!({"http_method": "HELLO!"})), ["http_method: invalid value: HELLO!"]);
    assert_eq!(refusals(json!({"http_method": "get"})), ["http_method: invalid value: get"]);
}

#[test]
fn the_shape_is_checked() {
    assert!(refusals(json!({})).is_empty() && refusals(Value::Null).is_empty());
    let nulls = json!({"http_method": null, "add": null, "replace": {"uri": null, "headers": null, "body": []}});
    assert!(refusals(nulls).is_empty());
    assert_eq!(refusals(json!([])), ["-: expected a record"]);
    assert_eq!(refusals(json!({"ad": {}})), ["ad: unknown field"]);
    assert_eq!(refusals(json!({"add": {"header": []}})), ["add.header: unknown field"]);
    assert_eq!(refusals(json!({"add": {"uri": "/"}})), ["add.uri: unknown field"]);
    assert_eq!(refusals(json!({"add": []})), ["add: expected a record"]);
    assert_eq!(refusals(json!({"add": {"body": "a:b"}})), ["add.body: expected an array"]);
    assert_eq!(refusals(json!({"add": {"body": [1]}})), ["add.body: expected a string"]);
    assert_eq!(
        refusals(json!({"replace": {"uri": 1}, "http_method": 1})),
        ["http_method: expected a string", "replace.uri: expected a string"]
    );
}
