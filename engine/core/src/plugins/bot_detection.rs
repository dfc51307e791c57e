//! bot-detection: refuses programs by the name that they give themselves.
//!
//! Source: the behaviour of Kong Gateway's plugin of the same name; which names are those of bots follows the public list
//! of the ua-parser project.

use std::sync::{Arc, LazyLock};

use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::Value;

use super::{Compiled, Place, read};
use crate::error::FieldError;
use crate::message::{Request, Response};
use crate::phases::{Exchange, Flow, Phases, Plugin};

/// Bytes that a compiled list may take.
const MOST_REGEX_BYTES: usize = 4 << 20;

/// The configuration as the control plane sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    allow: Vec<String>,
    deny: Vec<String>,
}

struct BotDetection {
    allow: Option<Regex>,
    deny: Option<Regex>,
}

/// Compiles an instance.
pub(super) fn compile(config: Value, _: &Place) -> Compiled {
    let Config { allow, deny } = read(config)?;
    let (allow, deny) = (any_of("allow", &allow)?, any_of("deny", &deny)?);
    LazyLock::force(&BOTS);
    Ok(Arc::new(BotDetection { allow, deny }))
}

/// One regex for all of a list.
fn any_of(field: &str, regexes: &[String]) -> Result<Option<Regex>, Vec<FieldError>> {
    if regexes.is_empty() {
        return Ok(None);
    }
    let alternatives: Vec<String> = regexes.iter().map(|regex| format!("(?:{regex})")).collect();
    let builder = limited(&alternatives.join("|"));
    builder.build().map(Some).map_err(|error| vec![FieldError::new(field, error.to_string())])
}

fn limited(pattern: &str) -> RegexBuilder {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(MOST_REGEX_BYTES).dfa_size_limit(MOST_REGEX_BYTES / 4);
    builder
}

/// Words that tell a bot wherever they stand, in this letter case.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    r"50\.nu", r"\bAboundex", "altavista", "AppEngine-Google", "archiver", r"archive.*?\.org_bot", "Ask Jeeves",
    "BingPreview", "BlogBridge", "BoardReader", "Catchpoint bot", "[Cc]harlotte", "Checklinks", "boitho.com-dc",
    "CRAWL-E", "Daumoa", "favicon", "findlinks", "Flamingo_SearchEngine", "Genieo", "GomezAgent", "gonzo1",
    "Google SketchUp", "grub-client", "heritrix", "HiddenMarket", "holmes", "HooWWWer", "htdig", "Icarus6j",
    "ichiro", "IconSurf", "IlTrovatore", "InfuzApp", "InternetArchive", "Kraken", "Kurzor", "larbin", "LEIA",
    "LinkAider", "Llaut", "lycos", "Mediapartners-Google", "mogimogi", "mozDex", "netresearch", "Netvibes",
    "NewsGator", "Nutch", "Nymesis", "ObjectsSearch", "Orbiter", "PagePeeker", "PagesInventory", "PaxleFramework",
    "Pompos", "Read%20Later", "Reaper", "RedCarpet", "Retreiver", "Riddler", "Rival IQ", "scooter", "Scrapy",
    "Scrubby", "searchsight", "semanticdiscovery", "Simpy", "SimplePie", "SEOstats", "SimpleRSS", "SiteCon",
    "Slurp", "snappy", "Squrl Java", r"Thumbshots\.ru", "URL2PNG", "Vagabondo", "Web-sniffer", "WebThumb",
    "WeSEE:[A-Za-z]", "WhatWeb", "WIRE", "WordPress", "Wotbox", r"www\.almaden\.ibm\.com",
    "Xenu(?:.s)? Link Sleuth", "yacy", "Yahoo[a-z]*Seeker", r"Yandex\w", r"\bYeti", "YottaaMonitor", "Yowedo",
    "ZooShot", "ZyBorg", "Accoona-[A-Za-z]+-Agent", "Comodo-Webinspector", "FollowSite", "^NING", "^vortex",
    "^voyager", "^Zao", "Google-HTTP-Java-Client", "Apache-HttpClient", "http%20client", "Python-urllib",
    "HttpMonitor", "TLSProber", "WinHTTP", "JNLP", r"Google.*/\+/web/snippet", r"MSIE \d+\.\d+.*MSIECrawler",
    r"Pingdom.com_bot_version_\d+\.\d", r"facebookexternalhit/\d+\.\d",
];
/// Names that tell a bot if a version follows.
#[rustfmt::skip]
const WITH_VERSION: &[&str] = &[
    "008", "Altresium", "Argus", "BaiduMobaider", "DNSGroup", "DataparkSearch", "EDI", "Goodzer", "Grub", "INGRID",
    "Infohelfer", "LOOQ", "PathDefender", "Peew", "PostPost", "Steeler", "VSE", "WebCrunch", "WebZIP",
    "Y!J-BR[A-Z]", "YahooSeeker", "envolk", "sproose", "wminer",
];
/// Names that tell a bot after a slash and before a version.
#[rustfmt::skip]
const AFTER_SLASH: &[&str] = &[
    "[A-Za-z]+[Bb]ot", "Axtaris", "fetchurl", "Isara", "ShopSalad", "Tailsweep",
];
/// What a program is called whose name says what it does; `CUBOT` is a telephone.
const KINDS: &str = r"(?:[Aa]rchiver|[Ii]ndexer|[Bb]ot)[/ ]\d|[Ss]crape|[^C][^Uu][Bb]ot|(?i:spider|crawl)";

static BOTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let (words, versioned, slashed) = (WORDS.join("|"), WITH_VERSION.join("|"), AFTER_SLASH.join("|"));
    limited(&format!(r"{words}|(?:{versioned})/\d|/(?:{slashed})[ \-]\d|{KINDS}")).build().ok()
});

/// Whether a program is one of the usual bots.
fn is_bot(agent: &[u8]) -> bool {
    // Without the list nobody could be told apart: a policy that cannot be evaluated denies.
    BOTS.as_ref().is_none_or(|bots| bots.is_match(agent))
}

impl Plugin for BotDetection {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access(&self, request: &mut Request, _: &mut Exchange<'_>) -> Flow {
        let mut agents = request.head.headers.get_all("user-agent");
        let (Some(agent), further) = (agents.next(), agents.next()) else { return Flow::Continue };
        if further.is_some() {
            return Flow::Respond(Response::message(400, "Only one User-Agent header allowed"));
        }
        let agent = agent.trim_ascii();
        let fits = |list: &Option<Regex>| list.as_ref().is_some_and(|list| list.is_match(agent));
        if !fits(&self.allow) && (fits(&self.deny) || is_bot(agent)) {
            return Flow::Respond(Response::message(403, "Forbidden"));
        }
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bots_are_told_from_browsers_and_tools() {
        for agent in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
            "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
            "Mozilla/5.0 (compatible; YandexImages/3.0; +http://yandex.com/bots)",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "Twitterbot/1.0",
            "Python-urllib/3.12",
            "Apache-HttpClient/4.5.1 (Java/1.8.0_60)",
            "Scrapy/2.11 (+https://scrapy.org)",
            "WordPress/6.4; https://blog.test",
            "ia_archiver (+http://www.alexa.com/site/help/webmasters)",
            "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
            "Mozilla/5.0 (X11) Chrome/99 Y!J-BRW/1.0",
            "my crawler",
            "Heritrix CRAWLER",
            "008/0.83",
            "anything/webindexer 1.0",
        ] {
            assert!(is_bot(agent.as_bytes()), "{agent}");
        }
        for agent in [
            "",
            "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Mobile Safari/604.1",
            "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 Chrome/99 Mobile Safari/537.36",
            "curl/8.5.0",
            "Wget/1.21",
            "python-requests/2.31.0",
            "okhttp/4.9",
            "sluice-conformance",
            "bot",
        ] {
            assert!(!is_bot(agent.as_bytes()), "{agent}");
        }
    }
}
