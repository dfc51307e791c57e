//! What expressions mean, as a table; and what they cannot do to the process.

use std::borrow::Cow;

use super::{Budget, Fault, Key, Sandbox, Scope, Template, Value, Variables};

struct Sample;

impl Variables for Sample {
    fn get<'a>(&'a self, scope: Scope, key: Key<'_>) -> Value<'a> {
        match (scope, key) {
            (Scope::Headers, Key::Name(b"host")) => Value::text(b"example.test"),
            (Scope::Headers, Key::Name(b"x-many")) => Value::list(vec![Value::text(b"a"), Value::text(b"b")]),
            (Scope::Headers, Key::Name(b"n")) => Value::text(b"100"),
            (Scope::QueryParams, Key::Name(b"flag")) => Value::Bool(true),
            (Scope::QueryParams, Key::Name(b"user")) => Value::text(b"ann"),
            (Scope::UriCaptures, Key::Index(0)) => Value::text(b"/v2/u"),
            (Scope::UriCaptures, Key::Index(1) | Key::Name(b"v")) => Value::text(b"v2"),
            _ => Value::Nil,
        }
    }
}

fn render_in(sandbox: Sandbox, template: &str) -> Result<String, Fault> {
    let mut out = Vec::new();
    let template = Template::compile(template, sandbox).unwrap();
    template.render(&Sample, &mut Budget::new(), &mut out).map(|()| String::from_utf8_lossy(&out).into_owned())
}

fn strict(template: &str) -> Result<String, Fault> {
    render_in(Sandbox::Strict, template)
}

fn standard(expression: &str) -> Result<String, Fault> {
    render_in(Sandbox::Standard, &format!("$({expression})"))
}

fn runtime(message: &'static str) -> Result<String, Fault> {
    Err(Fault::Runtime(Cow::Borrowed(message)))
}

#[test]
fn text_around_holes_stays() {
    let plain = "plain # text $x ${y} )";
    assert_eq!(strict(plain).unwrap(), plain);
    assert_eq!(Template::compile(plain, Sandbox::Strict).unwrap().as_static(), Some(plain.as_bytes()));
    assert_eq!(strict("a$('b')c$(1)d").unwrap(), "abc1d");
    assert_eq!(strict("$('$(x)')").unwrap(), "$(x)");
    assert_eq!(strict("$(nil)|$(false)|$(true)|$(0)").unwrap(), "||true|0");
    assert_eq!(strict("$(").unwrap(), "$(");
    assert_eq!(strict("$(a $(1)").unwrap(), "$(a 1");
    assert_eq!(strict("$((1))(2)").unwrap(), "1(2)");
    assert_eq!(strict("#line\n# x\n$(1)").unwrap(), "#line\n# x\n1");
}

#[test]
fn variables_are_looked_up() {
    for (template, text) in [
        ("$(headers.host)", "example.test"),
        ("$(headers['x-many'][2])$(#headers['x-many'])", "b2"),
        ("$(headers.gone)", ""),
        ("$(query_params.user or 'anon')", "ann"),
        ("$(query_params.gone or \"anon\")", "anon"),
        ("$(query_params.flag)", "true"),
        ("$(uri_captures[0])$(uri_captures[1])$(uri_captures.v)$(uri_captures[2])$(uri_captures['1'])", "/v2/uv2v2"),
        ("$(shared.x)", ""),
        ("$(type(headers))$(type(headers.host))$(type(headers['x-many']))$(type(nil))", "tablestringtablenil"),
        ("$(type(headers['x-many']) == 'table' and headers['x-many'][1] .. '-first' or headers['x-many'])", "a-first"),
        ("$(10 * headers.n)", "1000"),
        ("$(({gold = 1, ['sil' .. 'ver'] = 2})['silver'] or 0)$(({'a', 'b'})[2])", "2b"),
    ] {
        assert_eq!(strict(template).unwrap(), text, "{template}");
    }
}

#[test]
fn operators_follow_lua() {
    for (expression, text) in [
        ("1 + 2 * 3 ^ 2 ^ 0.5", "10.457608775675"),
        ("-2 ^ 2", "-4"),
        ("2 ^ -1", "0.5"),
        ("7 % 3 .. '|' .. -7 % 3 .. '|' .. 7 / 2", "1|2|3.5"),
        ("1 .. 2", "12"),
        ("10 / 2", "5"),
        ("1e15", "1e+15"),
        ("'10' + 5", "15"),
        ("' 0x10 ' * 1", "16"),
        ("1 < 2 and 'yes' or 'no'", "yes"),
        ("'a' < 'b' and 'Z' < 'a'", "true"),
        ("1 == '1'", ""),
        ("1 ~= '1'", "true"),
        ("not nil == true", "true"),
        ("nil and 1 or 2", "2"),
        ("#'abc' + 1", "4"),
        ("(1 + 2) * 3", "9"),
        ("'a' .. 1 + 2 .. 'b'", "a3b"),
        ("2 - 1 - 1", "0"),
        ("[[a]] .. [==[b]]]==]", "ab]]"),
        ("1 --[[ comment ]] + 1", "2"),
        ("0/0 ~= 0/0", "true"),
        ("-1/0", "-inf"),
    ] {
        assert_eq!(standard(expression).unwrap(), text, "{expression}");
    }
}

#[test]
fn the_library_follows_lua() {
    for (expression, text) in [
        ("string.upper('aé') .. ('AB'):lower()", "Aéab"),
        ("('hello'):sub(2, -2) .. ('hello'):sub(-3) .. ('x'):sub(5)", "ellllo"),
        ("#('abc'):rep(3) .. ('ab'):rep(2, '-') .. ('a'):rep(-1)", "9ab-ab"),
        ("('abc'):reverse() .. ('abc'):len()", "cba3"),
        ("('A'):byte() .. ',' .. (('AB'):byte(1, -1)) .. string.char(72, 105)", "65,65Hi"),
        ("string.format('%d-%d', ('abcd'):find('b'))", "2-2"),
        (
            "string.format('%5d|%-5d|%05d|%+d|%x|%X|%#x|%o', 42, 42, -42, 42, 255, 255, 255, 8)",
            "   42|42   |-0042|+42|ff|FF|0xff|10",
        ),
        (
            "string.format('%.2f|%5.1f|%e|%g|%g', 3.14159, 2.25, 12345.678, 0.0001, 1e20)",
            "3.14|  2.2|1.234568e+04|0.0001|1e+20",
        ),
        (
            "string.format('%s|%10s|%-4s|%.2s|%q|%c|%%', true, 'r', 'l', 'cut', 'a\"b', 65)",
            "true|         r|l   |cu|\"a\\\"b\"|A|%",
        ),
        ("string.format('%3.1s|%.3d', 'xyz', 7)", "  x|007"),
        ("('key=val'):match('^(%w+)=(%w+)$')", "key"),
        ("('key=val'):match('=(.*)')", "val"),
        ("('  trim '):match('^%s*(.-)%s*$') .. '.'", "trim."),
        ("('abc'):match('()b()')", "2"),
        ("('f(a(b)c)d'):match('%b()')", "(a(b)c)"),
        ("('THE (quick) fox'):find('%((%a+)%)')", "5"),
        ("('x-y'):find('-', 1, true) .. ('a.b'):find('.', 1, true)", "22"),
        ("('abc'):find('') .. '' .. ('abc'):find('', 10)", "14"),
        ("('hello world'):gsub('o', '0')", "hell0 w0rld"),
        ("('hello world'):gsub('(%w+)', '<%1>', 1)", "<hello> world"),
        ("('abc'):gsub('%w', '%0%0')", "aabbcc"),
        ("('abc'):gsub('', '-')", "-a-b-c-"),
        ("('abc'):gsub('%w*', 'x')", "xx"),
        ("('$name is'):gsub('%$(%w+)', {name = 'Lua'})", "Lua is"),
        ("('abc'):gsub('%w', string.upper)", "ABC"),
        ("('THE (quick)'):gsub('%f[%a]%a+', 'w')", "w (w)"),
        ("('aXbX'):gsub('[^%u]', '.')", ".X.X"),
        ("('a-b]'):gsub('[]-]', '_')", "a_b_"),
        ("('\\'x\\''):match([[(['\"])(.-)%1]])", "'"),
        ("tonumber('0x1F') + tonumber('  7 ') + tonumber('ff', 16) + tonumber('11', 2)", "296"),
        ("tostring(tonumber('x')) .. tostring(nil) .. tostring(1.5) .. tostring(true)", "nilnil1.5true"),
        (
            "math.floor(-1.5) .. math.ceil(1.2) .. math.abs(-3) .. math.max(1, 5, 2) .. math.min(4, 2) .. math.sqrt(9)",
            "-223523",
        ),
        ("math.fmod(-7, 3) .. math.pow(2, 10) .. math.huge", "-11024inf"),
        ("table.concat({1, 'b', 3}, ', ') .. table.concat({}, 'x') .. table.concat({1, 2, 3}, '', 2, 3)", "1, b, 323"),
        ("#{('abc'):byte(1, -1)} .. #{(('abc'):byte(1, -1))}", "31"),
        ("string.format('%14.3g|%#.3g', 1, 1)", "             1|1.00"),
    ] {
        assert_eq!(standard(expression).as_deref(), Ok(text), "{expression}");
    }
}

#[test]
fn runtime_errors_name_the_operand() {
    assert_eq!(strict("$(foo())"), runtime("attempt to call global 'foo' (a nil value)"));
    assert_eq!(strict("$(string.sub('x', 1))"), runtime("attempt to index global 'string' (a nil value)"));
    assert_eq!(strict("$(headers.a.b)"), runtime("attempt to index field 'a' (a nil value)"));
    assert_eq!(
        strict("$(headers.host + 1)"),
        runtime("attempt to perform arithmetic on field 'host' (a string value)")
    );
    assert_eq!(strict("$('a' .. nil)"), runtime("attempt to concatenate a nil value"));
    assert_eq!(strict("$(1 < 'a')"), runtime("attempt to compare number with string"));
    assert_eq!(strict("$({} < {})"), runtime("attempt to compare two table values"));
    assert_eq!(strict("$(#nil)"), runtime("attempt to get length of a nil value"));
    assert_eq!(strict("$(('x'):nope())"), runtime("attempt to call method 'nope' (a nil value)"));
    assert_eq!(strict("$(('x'):rep())"), runtime("bad argument #2 to 'rep' (number expected, got no value)"));
    assert_eq!(strict(r"$(('x'):match('\40x'))"), runtime("unfinished capture"));
    assert_eq!(strict("$(('x'):match('[a'))"), runtime("malformed pattern (missing ']')"));
    assert_eq!(strict("$(('x'):match('%'))"), runtime("malformed pattern (ends with '%')"));
    assert_eq!(strict("$(('x'):format())"), Ok("x".to_owned()));
    assert_eq!(strict("$(('%y'):format(1))"), runtime("invalid option '%y' to 'format'"));
    assert_eq!(strict("$(({[nil] = 1}))"), runtime("table index is nil"));
}

#[test]
fn nothing_of_the_runtime_is_visible() {
    for name in
        ["_G", "os", "io", "require", "load", "pcall", "ngx", "kong", "debug", "package", "setmetatable", "self"]
    {
        assert_eq!(strict(&format!("$({name})")).unwrap(), "", "{name}");
        assert_eq!(standard(name).unwrap(), "", "{name}");
    }
    for name in ["tostring", "tonumber", "string", "math", "table"] {
        assert_eq!(strict(&format!("$({name})")).unwrap(), "", "{name}");
    }
    for method in ["dump", "gmatch", "pack"] {
        assert!(strict(&format!("$(('x'):{method}())")).is_err(), "{method}");
    }
}

#[test]
fn what_is_no_expression_does_not_compile() {
    for expression in [
        "",
        " ",
        "a b",
        "a = 1",
        "shared.x = true",
        "a,",
        "1 2",
        "(1",
        "a.",
        "a[1",
        "a:b",
        "function() end",
        "return 1",
        "for i = 1, 2 do end",
        "if a then b",
        "...",
        "a..",
        "not",
        "{1, 2",
        "{a =}",
        "'x",
        "1 =",
        "and",
        "x; y",
        "#",
    ] {
        let template = format!("$({expression})");
        // An opening parenthesis inside leaves the hole unclosed, which makes it text.
        if template.matches('(').count() == template.matches(')').count() {
            assert!(Template::compile(&template, Sandbox::Standard).is_err(), "{expression}");
        }
    }
    let error = Template::compile("$(uri_captures user2)", Sandbox::Strict).unwrap_err();
    assert_eq!(error.to_string(), "unexpected symbol near 'user2'");
}

#[test]
fn hostile_nesting_is_refused_when_compiling() {
    for source in [
        format!("$({}1{})", "(".repeat(5000), ")".repeat(5000)),
        format!("$({}1)", "- ".repeat(5000)),
        format!("$({}1)", "not ".repeat(5000)),
        format!("$(1{})", " + 1".repeat(5000)),
        format!("$(1{})", "^1".repeat(5000)),
        format!("$(a{})", ".b".repeat(5000)),
        format!("$(a{})", "()".repeat(5000)),
        format!("$({}1{})", "{".repeat(5000), "}".repeat(5000)),
        format!("$(1{})", " .. 1".repeat(5000)),
        format!("$({{{}}})", "1,".repeat(5000)),
    ] {
        assert!(Template::compile(&source, Sandbox::Strict).is_err());
    }
    assert!(Template::compile(&"$(".repeat(200_000), Sandbox::Strict).unwrap().as_static().is_some());
    assert_eq!(strict(&format!("$('a'{})", " .. 'a'".repeat(500))).unwrap().len(), 501);
}

#[test]
fn hostile_cost_runs_into_the_budget() {
    for expression in [
        "('x'):rep(1e9)",
        "('x'):rep(1e300)",
        "('x'):rep(600000) .. ('x'):rep(600000)",
        "(('x'):rep(1000)):rep(1000):rep(1000)",
        "('a'):rep(100):match('.-.-.-.-.-.-.-.-.-.-b')",
        "('a'):rep(5000):match(('a*'):rep(20) .. 'b')",
        "('a'):rep(100000):gsub('a', ('b'):rep(100000))",
        "('a'):rep(100000):gsub('', ('b'):rep(1000))",
        "(('%s'):rep(100000)):format(1)",
        "('a'):rep(1000000):byte(1, -1)",
        r"('\40'):rep(100000):gsub('%b()', '')",
    ] {
        let found = strict(&format!("$({expression})"));
        assert!(matches!(found, Err(Fault::Steps | Fault::Bytes | Fault::Runtime(_))), "{expression}: {found:?}");
    }
    assert_eq!(strict("$(('x'):rep(1e9))"), Err(Fault::Bytes));
    assert_eq!(strict("$(('a'):rep(100):match('.-.-.-.-.-.-.-.-.-.-b'))"), Err(Fault::Steps));
    assert_eq!(strict(&format!("$(('a'):rep(300):match('{}'))", "a?".repeat(300))), runtime("pattern too complex"));
}

#[test]
fn one_budget_covers_many_templates() {
    let template = Template::compile("$(('x'):rep(300000))", Sandbox::Strict).unwrap();
    let mut budget = Budget::new();
    let results: Vec<_> = (0..4).map(|_| template.render(&Sample, &mut budget, &mut Vec::new())).collect();
    assert!(results[0].is_ok() && results[3] == Err(Fault::Bytes));
}

#[test]
fn the_scopes_in_use_are_known() {
    let template = Template::compile("$(({headers.x})[1] or #shared)", Sandbox::Strict).unwrap();
    assert!(template.uses(Scope::Headers) && template.uses(Scope::Shared));
    assert!(!template.uses(Scope::QueryParams));
}
