// Who looks at a page, as in the table of checkout/tests/environment.test.js.

const PHONE = { width: 390, height: 800 };
const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
const WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36";
const WECHAT = `${IPHONE} Mobile/15E148 MicroMessenger/8.0.76(0x18004c24) NetType/WIFI Language/zh_CN`;

/** Options for a page, by where it is opened. */
export const IN = {
  desktop: {},
  phone: { viewport: PHONE, userAgent: `${IPHONE} Version/18.0 Mobile/15E148 Safari/604.1` },
  wechat: { viewport: PHONE, userAgent: WECHAT },
  desktopWechat: { userAgent: `${WINDOWS} MicroMessenger/7.0.20.1781(0x6700143B) NetType/WIFI WindowsWechat(0x63090a13) XWEB/16467` },
  wxwork: { viewport: PHONE, userAgent: `${IPHONE} Mobile/15E148 wxwork/4.1.22 MicroMessenger/7.0.1 Language/zh` },
  miniProgram: { viewport: PHONE, userAgent: `${WECHAT} miniProgram/wx0123456789abcdef` },
};
