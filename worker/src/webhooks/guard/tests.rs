use super::*;

const PUBLIC: [&str; 23] = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2400:cb00::1",
    "2606:4700::1111",
    "2a00:1450::1",
    "3fff:1000::1",
];

pub(in crate::webhooks) const SPECIAL: [&str; 58] = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.255",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3ffe::1",
    "3fff::1",
    "3fff:fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ffff::1",
    "4000::1",
    "1fff::1",
];

#[test]
fn only_the_public_internet_is_public() {
    let check = |text: &str, expected: bool| {
        assert_eq!(is_public(text.parse().unwrap()), expected, "{text}");
    };
    for text in PUBLIC {
        check(text, true);
    }
    for text in SPECIAL {
        check(text, false);
    }
}

#[test]
fn every_spelling_of_an_address_is_read_as_that_address() {
    let check = |url: &str, expected: Option<&str>| {
        let read = literal(&url.parse().unwrap());
        assert_eq!(read, expected.map(|text| text.parse().unwrap()), "{url}");
    };
    for spelling in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0x7f.1",
        "127.0.0.1.",
        "１２７.0.0.1",
    ] {
        check(&format!("https://{spelling}/hook"), Some("127.0.0.1"));
    }
    check("https://[::1]:8443/", Some("::1"));
    check("https://[0:0:0:0:0:FFFF:7F00:1]/", Some("::ffff:127.0.0.1"));
    check("https://localhost/", None);
    check("https://shop.example.com/", None);
    assert!("https://[fe80::1%25eth0]/".parse::<Url>().is_err(), "a zone is no part of a URL's address");
}
