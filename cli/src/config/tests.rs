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

/// What docker-compose.yml mounts, here and at the simulator, is about the same merchant.
#[test]
fn the_configuration_for_containers_fits_their_simulator() {
    let config = read(include_str!("../../../ops/everpaid.compose.toml")).unwrap();
    assert!(config.database.options().unwrap().url.starts_with("postgres://"));
    config.link_keys().unwrap();
    let public_url = config.public_url(config.listen).unwrap();
    assert_eq!(public_url, "http://everpaid.localhost:8700");
    let simulator = include_str!("../../../ops/simulator.compose.toml");
    let simulator = simulator::Config::parse(simulator).unwrap();
    let [contract] = &simulator.merchants[..] else { panic!("{simulator:?}") };
    let merchant = &config.merchants["demo"];
    assert_eq!(merchant.mchid, contract.mchid);
    assert_eq!(Some(&merchant.certificate_serial), contract.certificate_serial.as_ref());
    assert_eq!(merchant.public_key_id, contract.public_key_id);
    let bound: Vec<_> = contract.apps.iter().map(|app| &app.appid).collect();
    assert_eq!(merchant.apps.keys().collect::<Vec<_>>(), bound);
    assert_eq!(merchant.api_key_hashes, [api::ApiKeyHash::of("sk_test_compose").to_hex()]);
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
        "open_url",
        "openid_url",
        "verify_files",
        "key",
        "key_file",
        "previous_key",
        "previous_key_file",
        "display_name",
        "support",
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
        "origins",
        "kind",
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
fn what_payers_are_told_of_support_is_one_short_line() {
    let refusal = |support: &str| {
        let toml = format!(
            "[merchants.a]\ndisplay_name = \"x\"\nsupport = \"{support}\"\nmchid = \"1\"\n\
             certificate_serial = \"1\"\npublic_key_id = \"PUB_KEY_ID_1\"\npublic_key = \"x\"\n\
             apps = {{ wx1 = \"mini_program\" }}\n"
        );
        format!("{:#}", read(&toml).unwrap().merchants_of_api().unwrap_err())
    };
    for wrong in ["", " ", "a\\nb", "a\\tb", "a\\u2028b", &"电".repeat(81)] {
        assert!(refusal(wrong).contains("merchants.a.support must be one line"), "{wrong:?}");
    }
    // What is wrong with this merchant otherwise: its public key.
    assert!(!refusal(&"电".repeat(80)).contains("support"));
}

#[test]
fn an_app_is_a_kind_or_a_table_with_its_secret() {
    let apps = |apps: &str| {
        let config = read(&format!(
            "[merchants.a]\ndisplay_name = \"x\"\nmchid = \"1\"\ncertificate_serial = \"1\"\napps = {apps}\n"
        ))?;
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let apps = config.merchants["a"].apps.iter().map(|(id, app)| app.for_api(id, "merchants.a.apps"));
        let apps = apps.collect::<Result<Vec<_>, _>>().map_err(|error| format!("{error:#}"))?;
        Ok(apps.iter().map(|app| (app.kind, app.login.is_some())).collect::<Vec<_>>())
    };
    let check = |toml: &str, expected: &[(api::AppKind, bool)]| {
        assert_eq!(apps(toml).as_deref(), Ok(expected), "{toml}");
    };
    let refused = |toml: &str, expected: &str| {
        let said: String = apps(toml).unwrap_err();
        assert!(said.contains(expected) && !said.contains("hunter2"), "{toml}: {said}");
    };
    use api::AppKind::{MiniProgram, ServiceAccount};
    check("{ wx1 = \"mini_program\" }", &[(MiniProgram, false)]);
    check("{ wx1 = { kind = \"service_account\" } }", &[(ServiceAccount, false)]);
    check("{ wx1 = { kind = \"service_account\", secret = \"hunter2\" } }", &[(ServiceAccount, true)]);
    refused("{ wx1 = \"h5\" }", "merchants.a.apps.wx1");
    refused("{ wx1 = { secret = \"hunter2\" } }", "kind");
    refused("{ wx1 = { kind = \"mini_program\", secrets = \"hunter2\" } }", "secrets");
    refused("{ wx1 = { kind = \"mini_program\", secret = \"\" } }", "merchants.a.apps.wx1.secret is empty");
    refused(
        "{ wx1 = { kind = \"mini_program\", secret = \"hunter2\", secret_file = \"/x\" } }",
        "are both set",
    );
    refused("{ wx1 = { kind = \"mini_program\", secret_file = \"/does/not/exist\" } }", "secret_file");
}

#[test]
fn what_makes_the_payers_path_unsafe_or_unclear_is_refused() {
    let refusal = |more: &str| {
        let mut toml =
            EXAMPLE.replace("replace this by 64 hex digits", &api::ApiKeyHash::of("sk_1").to_hex());
        toml = toml
            .replace("secret_file = \"/etc/everpaid/teahouse/wx0000000000000001.secret\"", "secret = \"s\"");
        toml = toml
            .replace("api_key_hashes", &format!("{more}\nplatform_certificate_files = []\napi_key_hashes"));
        toml = toml.replace("public_key_file = \"/etc/everpaid/teahouse/pub_key.pem\"", "public_key = \"x\"");
        format!("{:#}", read(&toml).unwrap().merchants_of_api().unwrap_err())
    };
    for origin in [
        "*",
        "null",
        "shop.example.com",
        "https://shop.example.com/",
        "https://Shop.example.com",
        "https://shop.example.com:443",
        "https://*.example.com",
        "https://me@shop.example.com",
        "http://shop.example.com",
        "ftp://shop.example.com",
    ] {
        let said = refusal(&format!("origins = [\"{origin}\"]"));
        assert!(
            said.contains("merchants.teahouse.origins") && said.contains("is not an origin"),
            "{origin}: {said}"
        );
    }
    // These are fine, so that the first thing that is wrong is the key.
    let said = refusal(
        "origins = [\"https://shop.example.com:8443\", \"http://127.0.0.1:8703\", \"http://localhost\"]",
    );
    assert!(said.contains("public_key"), "{said}");
    let two = "apps.wx3 = { kind = \"service_account\", secret = \"s\" }";
    assert!(refusal(two).contains("only one service account may have a secret"));
}

#[test]
fn a_verification_file_is_nothing_but_that() {
    let served = |name: &str, text: &str| {
        let config = read(&format!("[wechat.verify_files]\n\"{name}\" = \"{text}\"\n")).unwrap();
        config.wechat.verify_files().is_ok()
    };
    assert!(served("MP_verify_a1B2c3D4e5F6g7H8.txt", "a1B2c3D4e5F6g7H8"));
    for name in [
        "MP_verify_.txt",
        "MP_verify_a/b.txt",
        "MP_verify_{x}.txt",
        "MP_verify_a.html",
        "../a.txt",
        "a.txt",
        "",
    ] {
        assert!(!served(name, "a"), "{name}");
    }
    for text in ["", "<script>x</script> y", "一", &"x".repeat(257)] {
        assert!(!served("MP_verify_a.txt", text), "{text}");
    }
}

#[test]
fn a_simulator_is_told_the_secrets_of_its_apps_and_wechat_is_not() {
    let mut wechat = read("").unwrap().wechat;
    let check = |wechat: &super::WeChat, open: &str, openid: &str| {
        assert_eq!(wechat.open_url().unwrap(), open);
        let shown = [format!("{:?}", wechat.openids().unwrap()), format!("{:?}", wechat.shipping().unwrap())];
        assert!(shown.iter().all(|shown| shown.contains(&format!("\"{openid}\""))), "{shown:?}");
    };
    check(&wechat, "https://open.weixin.qq.com", "https://api.weixin.qq.com");
    wechat.base_url = "http://127.0.0.1:8701/".to_owned();
    check(&wechat, "http://127.0.0.1:8701", "http://127.0.0.1:8701");
    wechat.open_url = Some("https://open.weixin.qq.com/".to_owned());
    wechat.openid_url = Some("http://127.0.0.1:1".to_owned());
    check(&wechat, "https://open.weixin.qq.com", "http://127.0.0.1:1");
    for url in ["open.weixin.qq.com", "https://open.weixin.qq.com/connect", "https://x?y", ""] {
        wechat.open_url = Some(url.to_owned());
        assert!(wechat.open_url().is_err(), "{url}");
    }
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
    check(good, secret, "", "9 events");
    check(good, secret, "events = [\"order.paid\", \"refund.closed\"]", "2 events");
    check(good, secret, "events = []", "webhooks.other.events is empty");
    check(good, secret, "events = [\"order.payed\"]", "order.payed is none of order.paid, order.overpaid,");
    check(good, "whsec_AgICAgIC", "", "other.secret: must be `whsec_` and the base64 of 24 to 64");
    check(good, secret, "previous_secret = \"whsec_AgIC\"", "other.previous_secret: must be `whsec_`");
    check("shop.example.com", secret, "", "other.url is not an address");
    check("ftp://shop.example.com", secret, "", "other.url must be https");
    check("http://shop.example.com/", secret, "", "must be https, unless allow_private_addresses");
    check("http://10.0.0.1/", secret, "allow_private_addresses = true", "9 events");
    check("https://2130706433/", secret, "", "leads to an address that is not public");
    check("https://me:x@shop.example.com/", secret, "", "must not contain a user");
}
