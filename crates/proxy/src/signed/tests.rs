//! Signatures that the official SDK made, and everything that is done to them.

use axum::http::uri::PathAndQuery;
use daemon::http::extract::Query;
use proptest::prelude::{prop, proptest};

use super::*;

/// For `GET`, the path `/home/daytona/a b.txt` and 1800000000, with the key `key`.
const UNTIL: &str = "v1_cBYGw1_6JFe-iYIUTT4FppFY_iBCOrcRhA5tT3YZQ1A";
/// For `GET`, the path `/x` and 0, with the key `key`.
const FOREVER: &str = "v1_W4IOuN_JKajX-L9fp98gRSpY5Jm9ESHBt-79h1cH-qo";
/// For `POST`, the path `/up/é:1` and 0, with the key `key`.
const UPLOAD: &str = "v1_mIDfvFNxM8FJeUt8gOKLoI--iUQ23rGDvPkl82oRVXc";
/// For `GET`, the path `a:5` and 7, with the key `k2`.
const COLON: &str = "v1_aH_Xdhg-PTP434FxYmkx1gxsDl-c2tDSvJJZfIOs_Uc";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn get(query: &str) -> Result<SignedCall, Flaw> {
    SignedCall::read(&Method::GET, "/files/download", query).unwrap()
}

#[test]
fn what_the_sdk_signs_holds() {
    let call =
        get(&format!("path=%2Fhome%2Fdaytona%2Fa+b.txt&expires=1800000000&signature={UNTIL}")).unwrap();
    assert!(call.holds("key"));
    assert_eq!(call.forwarded(), "/files/download?path=/home/daytona/a%20b.txt");
    let call = get(&format!("signature={FOREVER}&x=1&expires=0&path=/x")).unwrap();
    assert!(call.holds("key"));
    assert_eq!(call.forwarded(), "/files/download?path=/x");
    let query = format!("path=%2Fup%2F%C3%A9%3A1&expires=0&signature={UPLOAD}");
    let call = SignedCall::read(&Method::POST, "/files/upload-v2", &query).unwrap().unwrap();
    assert!(call.holds("key"));
    assert_eq!(call.forwarded(), "/files/upload-v2?path=/up/%C3%A9%3A1");
}

#[test]
fn a_signature_is_for_one_key_method_path_and_end() {
    for (key, query) in [
        ("other", format!("path=/x&expires=0&signature={FOREVER}")),
        ("", format!("path=/x&expires=0&signature={FOREVER}")),
        ("key", format!("path=/y&expires=0&signature={FOREVER}")),
        ("key", format!("path=/x/&expires=0&signature={FOREVER}")),
        ("key", format!("path=/%78%00&expires=0&signature={FOREVER}")),
        ("key", format!("path=&expires=0&signature={FOREVER}")),
        ("key", format!("path=/x&expires=1&signature={FOREVER}")),
        ("key", format!("path=/home/daytona/a+b.txt&expires=0&signature={UNTIL}")),
        ("k2", format!("path=a&expires=57&signature={COLON}")),
        ("key", "path=/x&expires=0&signature=v1_".to_owned()),
        ("key", format!("path=/x&expires=0&signature=v1_{}", "A".repeat(43))),
        ("key", format!("path=/x&expires=0&signature={UPLOAD}")),
    ] {
        assert!(!get(&query).unwrap().holds(key), "{key} {query}");
    }
    let query = format!("path=/x&expires=0&signature={FOREVER}");
    assert!(!SignedCall::read(&Method::POST, "/files/upload-v2", &query).unwrap().unwrap().holds("key"));
    assert!(get(&format!("path=/%78&expires=0&signature={FOREVER}")).unwrap().holds("key"), "decoded once");
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    for query in [
        format!("path=/x&path=/etc/shadow&expires=0&signature={FOREVER}"),
        format!("path=/etc/shadow&path=/x&expires=0&signature={FOREVER}"),
        format!("path=/x&p%61th=/etc/shadow&expires=0&signature={FOREVER}"),
        format!("path=/x&path&expires=0&signature={FOREVER}"),
        format!("path=/x%ff&expires=0&signature={FOREVER}"),
        format!("expires=0&signature={FOREVER}"),
        format!("path=/x&signature={FOREVER}"),
        format!("path=/x&expires=0&expires=0&signature={FOREVER}"),
        format!("path=/x&expires=00&signature={FOREVER}"),
        format!("path=/x&expires=%2B0&signature={FOREVER}"),
        format!("path=/x&expires=-1&signature={FOREVER}"),
        format!("path=/x&expires=0x0&signature={FOREVER}"),
        format!("path=/x&expires=&signature={FOREVER}"),
        format!("path=/x&expires=99999999999999999999&signature={FOREVER}"),
        format!("path=/x&expires=0&signature={FOREVER}&signature={FOREVER}"),
        format!("path=/x&expires=0&signature={FOREVER}&s%69gnature=v1_"),
    ] {
        assert_eq!(get(&query), Err(Flaw::Parameters), "{query}");
    }
    for signature in ["", "v1", "v2_x", "v1_*", &format!("{FOREVER}="), &FOREVER.replace('o', "p")] {
        let read = get(&format!("path=/x&expires=0&signature={signature}"));
        // The last letter of a signature holds bits that no decoder needs: there is one spelling of each.
        assert_eq!(read, Err(Flaw::Signature), "{signature}");
    }
}

#[test]
fn only_two_operations_can_be_signed() {
    let query = format!("path=/x&expires=0&signature={FOREVER}");
    for (method, path) in [
        (Method::POST, "/files/download"),
        (Method::HEAD, "/files/download"),
        (Method::OPTIONS, "/files/download"),
        (Method::GET, "/files/upload-v2"),
        (Method::PUT, "/files/upload-v2"),
        (Method::GET, "/files"),
        (Method::DELETE, "/files"),
        (Method::GET, "/files/download/"),
        (Method::GET, "//files/download"),
        (Method::GET, "/files/%64ownload"),
        (Method::GET, "/x/../files/download"),
        (Method::POST, "/files/upload"),
        (Method::POST, "/process/execute"),
    ] {
        assert_eq!(SignedCall::read(&method, path, &query), None, "{method} {path}");
    }
    assert_eq!(SignedCall::read(&Method::GET, "/files/download", "path=/x&expires=0"), None);
}

#[test]
fn a_call_lives_through_the_second_that_it_names() {
    let call = get(&format!("path=/x&expires=1800000000&signature={UNTIL}")).unwrap();
    assert_eq!(call.in_time(at(0)), Ok(()));
    assert_eq!(call.in_time(at(1_800_000_000)), Ok(()));
    assert_eq!(call.in_time(at(1_800_000_001)), Err(Flaw::Expired));
    let call = get(&format!("path=/x&expires=0&signature={UNTIL}")).unwrap();
    assert_eq!(call.in_time(at(4_000_000_000)), Ok(()));
}

proptest! {
    /// Whatever path was signed, the daemon's own reader finds it, and nothing else, in what is sent on.
    #[test]
    fn any_path_arrives_as_it_was_signed(path in "\\PC{1,40}|[ -~\\x00-\\x1f]{1,40}|[+%&;=#?/.]{1,12}") {
        let encoded = utf8_percent_encode(&path, NON_ALPHANUMERIC);
        let call = get(&format!("expires=0&path={encoded}&signature={FOREVER}")).unwrap();
        assert_eq!(call.path, path);
        let forwarded = PathAndQuery::try_from(call.forwarded()).unwrap();
        assert_eq!(forwarded.path(), "/files/download");
        let read = Query::parse(forwarded.query().unwrap()).unwrap();
        assert_eq!(read.required("path").unwrap(), path);
        for name in [SIGNATURE, EXPIRES] {
            assert_eq!(read.optional(name), None);
        }
    }

    /// Where a query is clear to us it is clear to the daemon, and says the same.
    #[test]
    fn both_readers_agree(parts in prop::collection::vec("path|p%61th|=|&|;|%|%2|%26|%3d|%ff|/x|\\+|x|%00", 0..12)) {
        let query = parts.concat();
        if let (Found::Once(ours), Ok(theirs)) = (query::find(&query, PATH), Query::parse(&query)) {
            assert_eq!(theirs.optional(PATH).unwrap_or_default(), ours, "{query}");
        }
        let left = query::without(&query, &[PATH]);
        if let Ok(theirs) = Query::parse(&left) {
            assert_eq!(theirs.optional(PATH), None, "{query}");
        }
    }
}
