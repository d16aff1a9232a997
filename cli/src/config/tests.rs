use std::io::Write;

use super::Config;

fn read(toml: &str) -> Result<Config, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    Config::read(file.path())
        .map_err(|error| format!("{error:#}").replace(&file.path().display().to_string(), "everpaid.toml"))
}

const EXAMPLE: &str = include_str!("../../../everpaid.example.toml");

#[test]
fn the_example_is_a_valid_configuration() {
    let config = read(EXAMPLE).unwrap();
    assert_eq!(config.merchants["teahouse"].mchid, "1900000001");
    assert_eq!(config.wechat.simulator_url(), None);
}

#[test]
fn every_setting_is_in_the_example() {
    // What is optional there is commented out; with the comments gone it must still be valid.
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("#:") {
            Some(setting) => format!("{setting}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    read(&uncommented).unwrap();
    for setting in [
        "public_url",
        "listen",
        "metrics_listen",
        "url",
        "url_file",
        "writers",
        "readers",
        "base_url",
        "backup_url",
        "key",
        "key_file",
        "previous_key",
        "previous_key_file",
        "display_name",
        "mchid",
        "certificate_serial",
        "private_key",
        "private_key_file",
        "apiv3_key",
        "apiv3_key_file",
        "previous_apiv3_key",
        "previous_apiv3_key_file",
        "public_key_id",
        "public_key",
        "public_key_file",
        "platform_certificate_files",
        "out_trade_no_prefix",
        "policies",
        "api_key_hashes",
        "secret",
        "secret_file",
        "previous_secret",
        "previous_secret_file",
        "events",
        "allow_private_addresses",
    ] {
        let is_there = uncommented.lines().any(|line| {
            line.trim_start()
                .trim_start_matches('#')
                .trim_start_matches(':')
                .trim_start()
                .starts_with(&format!("{setting} ="))
        });
        assert!(is_there, "{setting} is not in everpaid.example.toml");
    }
}

#[test]
fn an_unknown_key_is_an_error_with_its_line() {
    let error = read("public_url = \"https://pay.example.com\"\n\n[database]\nurll = \"x\"\n").unwrap_err();
    assert!(error.starts_with("everpaid.toml:4: unknown key `database.urll`"), "{error}");
}

#[test]
fn a_value_of_the_wrong_kind_is_named_and_not_shown() {
    let error = read("[links]\nkey = [\"hunter2\"]\n").unwrap_err();
    assert!(error.contains("everpaid.toml:2") && error.contains("links.key"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn secrets_are_not_printed() {
    let config =
        read("[links]\nkey = \"hunter2hunter2\"\n[database]\nurl = \"postgres://me:hunter2@db/x\"\n")
            .unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let error = format!("{:#}", config.link_keys().unwrap_err());
    assert!(error.contains("32 bytes") && !error.contains("hunter2"), "{error}");
}

#[test]
fn whatever_is_not_wechats_own_host_is_a_simulator() {
    let mut config = read("").unwrap();
    assert_eq!(config.wechat.backup_url().as_deref(), Some("https://api2.mch.weixin.qq.com"));
    for (url, simulated) in [
        ("https://api.mch.weixin.qq.com", false),
        ("https://api.wechatpay.cn/", false),
        ("http://127.0.0.1:8701", true),
        ("https://weixin.qq.com.example.com", true),
    ] {
        config.wechat.base_url = url.to_owned();
        assert_eq!(config.wechat.simulator_url().is_some(), simulated, "{url}");
        let backup = config.wechat.backup_url();
        assert!(
            backup.is_none() || url == "https://api.mch.weixin.qq.com",
            "{url} must not fall back on {backup:?}"
        );
    }
}

#[test]
fn wechat_needs_a_public_address_and_a_simulator_does_not() {
    let listening = "127.0.0.1:8700".parse().unwrap();
    let with = |url: Option<&str>, base_url: &str| {
        let mut config = read("").unwrap();
        config.public_url = url.map(str::to_owned);
        config.wechat.base_url = base_url.to_owned();
        config.public_url(listening).ok()
    };
    let (wechat, simulator) = ("https://api.mch.weixin.qq.com", "http://127.0.0.1:8701");
    assert_eq!(with(Some("https://pay.example.com/"), wechat).as_deref(), Some("https://pay.example.com"));
    for refused in
        [None, Some("http://pay.example.com"), Some("https://127.0.0.1"), Some("https://x.example?a=b")]
    {
        assert_eq!(with(refused, wechat), None, "{refused:?}");
    }
    assert_eq!(with(None, simulator).as_deref(), Some("http://127.0.0.1:8700"));
}

#[test]
fn a_key_that_is_empty_or_opens_two_merchants_is_refused() {
    let merchant = |name: &str, hash: &str| {
        format!(
            "[merchants.{name}]\ndisplay_name = \"x\"\nmchid = \"1\"\ncertificate_serial = \"1\"\n\
             platform_certificate_files = []\npublic_key_id = \"PUB_KEY_ID_1\"\npublic_key = \"x\"\n\
             apps = {{ wx1 = \"mini_program\" }}\napi_key_hashes = [\"{hash}\"]\n"
        )
    };
    let refusal = |toml: &str| format!("{:#}", read(toml).unwrap().merchants_of_api().unwrap_err());
    let empty = api::ApiKeyHash::of("").to_hex();
    assert!(refusal(&merchant("a", &empty)).contains("SHA-256"));
    assert!(refusal(&merchant("a", "replace this")).contains("SHA-256"));
    let key = api::ApiKeyHash::of("sk_1").to_hex();
    assert!(refusal(&[merchant("a", &key), merchant("b", &key.to_uppercase())].concat()).contains("twice"));
}

#[test]
fn a_webhook_that_cannot_work_is_refused_by_name() {
    let good = "https://shop.example.com/hook";
    let secret = "whsec_AgICAgICAgICAgICAgICAgICAgICAgIC";
    let check = |url: &str, secret: &str, more: &str, expected: &str| {
        let toml = format!(
            "{EXAMPLE}\n[merchants.teahouse.webhooks.other]\nurl = \"{url}\"\nsecret = \"{secret}\"\n{more}"
        );
        let config = read(&toml).unwrap();
        let webhook = &config.merchants["teahouse"].webhooks["other"];
        let said = match webhook.for_worker("other", "merchants.teahouse.webhooks.other") {
            Ok(endpoint) => format!("{} events", endpoint.events.len()),
            Err(error) => format!("{error:#}"),
        };
        assert!(said.contains(expected), "{url} {more}: {said}");
        assert!(!said.contains("AgIC"), "{said}");
    };
    check(good, secret, "", "7 events");
    check(good, secret, "events = [\"order.paid\", \"refund.closed\"]", "2 events");
    check(good, secret, "events = []", "webhooks.other.events is empty");
    check(good, secret, "events = [\"order.payed\"]", "order.payed is none of order.paid, order.overpaid,");
    check(good, "whsec_AgICAgIC", "", "other.secret: must be `whsec_` and the base64 of 24 to 64");
    check(good, secret, "previous_secret = \"whsec_AgIC\"", "other.previous_secret: must be `whsec_`");
    check("shop.example.com", secret, "", "other.url is not an address");
    check("ftp://shop.example.com", secret, "", "other.url must be https");
    check("http://shop.example.com/", secret, "", "must be https, unless allow_private_addresses");
    check("http://10.0.0.1/", secret, "allow_private_addresses = true", "7 events");
    check("https://2130706433/", secret, "", "leads to an address that is not public");
    check("https://me:x@shop.example.com/", secret, "", "must not contain a user");
}
