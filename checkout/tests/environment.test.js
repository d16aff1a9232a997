import assert from "node:assert/strict";
import { test } from "node:test";

import { environment, isPhone, isWeChat, isWxwork } from "../environment.js";

const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
const ANDROID = "Mozilla/5.0 (Linux; Android 13; PGBM10 Build/TP1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0";
const WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)";
const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)";

const WECHAT_IOS = IPHONE + " Mobile/15E148 MicroMessenger/8.0.76(0x18004c24) NetType/WIFI Language/zh_CN";
const WECHAT_ANDROID =
  ANDROID +
  " Chrome/111.0.5563.116 Mobile Safari/537.36 XWEB/1110005 MMWEBSDK/20230805 MMWEBID/4650 MicroMessenger/8.0.42.2460(0x28002A58) WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64";
const WECHAT_WINDOWS = WINDOWS + " Chrome/132.0.0.0 Safari/537.36 MicroMessenger/7.0.20.1781(0x6700143B) NetType/WIFI";

const SAMPLES = [
  ["WeChat on iOS", WECHAT_IOS, "wechat", "phone"],
  ["WeChat on Android", WECHAT_ANDROID, "wechat", "phone"],
  ["mini-program on iOS", WECHAT_IOS + " miniProgram/wx0123456789abcdef", "mini_program", "phone"],
  ["mini-program on Android", WECHAT_ANDROID + " miniProgram/wx0123456789abcdef", "mini_program", "phone"],
  ["WeChat on Windows", WECHAT_WINDOWS + " WindowsWechat(0x63090a13) UnifiedPCWindowsWechat(0xf2541518) XWEB/16467", "wechat", "desk"],
  ["mini-program on Windows", WECHAT_WINDOWS + " MiniProgramEnv/Windows WindowsWechat/WMPF WindowsWechat(0x63090a13) XWEB/9129", "mini_program", "desk"],
  ["old WeChat on Windows", WINDOWS + " MicroMessenger/6.5.2.501 NetType/WIFI WindowsWechat", "wechat", "desk"],
  ["WeChat on Mac", MAC + " MicroMessenger/6.8.0(0x16080000) MacWechat/3.0.1(0x13000110) NetType/WIFI WindowsWechat", "wechat", "desk"],
  ["newer WeChat on Mac", MAC + " MicroMessenger/6.8.0(0x16080000) MacWechat/3.8.7(0x13080712) UnifiedPCMacWechat(0xf2640702) XWEB/13639", "wechat", "desk"],
  ["企业微信 on a phone", IPHONE + " Mobile/15E148 wxwork/4.1.22 MicroMessenger/7.0.1 Language/zh", "browser", "phone"],
  ["企业微信 on a desktop", WINDOWS + " wxwork/4.1.36 (MicroMessenger/6.2) WeChat/2.0.4", "browser", "desk"],
  ["企业微信 mini-program", IPHONE + " Mobile/15E148 wxwork/4.1.22 MicroMessenger/7.0.1 miniProgram/wx0123456789abcdef", "browser", "phone"],
  ["Safari on iPhone", IPHONE + " Version/17.0 Mobile/15E148 Safari/604.1", "browser", "phone"],
  ["Chrome on Android", ANDROID.replace("; wv", "") + " Chrome/126.0.0.0 Mobile Safari/537.36", "browser", "phone"],
  ["HarmonyOS browser", "Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile", "browser", "phone"],
  ["Safari on iPad", "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 Version/16.6 Mobile/15E148 Safari/604.1", "browser", "desk"],
  ["Chrome on Windows", WINDOWS + " Chrome/132.0.0.0 Safari/537.36", "browser", "desk"],
  ["an empty user agent", "", "browser", "desk"],
];

for (const [name, userAgent, place, size] of SAMPLES) {
  // 企业微信 says MicroMessenger and is no WeChat; a mini-program's page is in WeChat and cannot pay.
  const criterion = /MicroMessenger/.test(userAgent) ? "R1.2 " : "R1.3 ";
  test(criterion + name + " is " + place + " on a " + size, () => {
    assert.equal(environment({ userAgent }), place);
    assert.equal(isWeChat({ userAgent }), place === "wechat");
    assert.equal(isPhone({ userAgent }), size === "phone");
    assert.equal(isWxwork({ userAgent }), name.startsWith("企业微信"));
  });
}

test("R1.4 where there is no navigator it is a browser, and not WeChat", () => {
  for (const nobody of [null, {}]) {
    assert.equal(environment(nobody), "browser");
    assert.equal(isWeChat(nobody), false);
    assert.equal(isPhone(nobody), false);
  }
});
