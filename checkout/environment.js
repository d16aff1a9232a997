/**
 * Where is this page being looked at? Good enough to choose words, never to trust:
 * anyone can send any user agent.
 */

/** @typedef {"browser"|"wechat"|"mini_program"} Environment */
/** @typedef {{userAgent?: string}|null} Client  a navigator; on a server there is none */

/**
 * 企业微信 says MicroMessenger too but is no WeChat, so it is asked first.
 * @param {Client=} client
 * @returns {Environment}
 */
export function environment(client = hostNavigator()) {
  const agent = agentOf(client);
  if (isWxwork(client)) return "browser";
  if (/miniProgram/i.test(agent)) return "mini_program";
  if (/MicroMessenger/i.test(agent)) return "wechat";
  return "browser";
}

/**
 * False where there is no navigator.
 * @param {Client=} client
 */
export function isWeChat(client = hostNavigator()) {
  return environment(client) === "wechat";
}

/**
 * 企业微信.
 * @param {Client=} client
 */
export function isWxwork(client = hostNavigator()) {
  return /wxwork\//i.test(agentOf(client));
}

/**
 * A phone cannot scan its own screen; a tablet or a desktop can be scanned by the phone.
 * @param {Client=} client
 */
export function isPhone(client = hostNavigator()) {
  const agent = agentOf(client);
  return /Mobi/i.test(agent) && !/iPad|Tablet/i.test(agent);
}

/** @param {Client=} client */
function agentOf(client) {
  return (client && client.userAgent) || "";
}

function hostNavigator() {
  return typeof navigator === "undefined" ? undefined : navigator;
}
