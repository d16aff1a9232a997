use super::*;

#[test]
fn what_is_encoded_survives_the_url_library() {
    let check = |number: &str, expected: &str| {
        assert_eq!(encoded(number), expected);
        let target = format!("/v3/{expected}/close?mchid={expected}");
        let url = Url::parse(&format!("http://127.0.0.1:1{target}")).unwrap();
        assert_eq!(sent_target(&url), target);
    };
    check("aZ09_-~", "aZ09_-~");
    check("a|b*c", "a%7Cb%2Ac");
    check("a/b?c#d e%&=+", "a%2Fb%3Fc%23d%20e%25%26%3D%2B");
    check("订\0\u{7f}'", "%E8%AE%A2%00%7F%27");
}

#[test]
fn a_base_url_is_a_scheme_and_a_host() {
    let check = |text: &str, expected: Option<&str>| {
        let mut url = text.to_owned();
        let result = base_url(&mut url);
        assert_eq!(result.is_ok().then_some(url.as_str()), expected, "{text}");
    };
    check("https://api.mch.weixin.qq.com", Some("https://api.mch.weixin.qq.com"));
    check("https://API.mch.weixin.qq.com/", Some("https://api.mch.weixin.qq.com"));
    check("http://127.0.0.1:8701", Some("http://127.0.0.1:8701"));
    check("http://127.0.0.1:8701/v3", None);
    check("https://user:secret@api.mch.weixin.qq.com", None);
    check("https://api.mch.weixin.qq.com?x", None);
    check("https://api.mch.weixin.qq.com#x", None);
    check("ftp://api.mch.weixin.qq.com", None);
    check("api.mch.weixin.qq.com", None);
    check("", None);
}

#[test]
fn an_address_is_split_before_its_path() {
    let check = |text: &str, expected: Option<(&str, &str)>| assert_eq!(address(text), expected, "{text}");
    check(
        "https://api.mch.weixin.qq.com/v3/billdownload/file?token=a%2Fb&tartype=gzip",
        Some(("https://api.mch.weixin.qq.com", "/v3/billdownload/file?token=a%2Fb&tartype=gzip")),
    );
    check("http://127.0.0.1:8701/v3", Some(("http://127.0.0.1:8701", "/v3")));
    check("https://api.mch.weixin.qq.com", None);
    check("https:///v3", None);
    check("file:///etc/passwd", None);
    check("/v3/billdownload/file", None);
}
