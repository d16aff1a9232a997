/**
 * Where is this page being looked at? Good enough to choose words, never to trust:
 * anyone can send any user agent.
 */

/** @typedef {"browser"|"wechat"|"mini_program"} Environment */

/**
 * 企业微信 says MicroMessenger too but is no WeChat, so it is asked first.
 * @param {{userAgent?: string}=} client  the navigator; on a server there is none
 * @returns {Environment}
 */
export function environment(client = hostNavigator()) {
  const agent = agentOf(client);
  if (/wxwork\//i.test(agent)) return "browser";
  if (/miniProgram/i.test(agent)) return "mini_program";
  if (/MicroMessenger/i.test(agent)) return "wechat";
  return "browser";
}

/** False where there is no navigator. */
export function isWeChat(client = hostNavigator()) {
  return environment(client) === "wechat";
}

/** A phone cannot scan its own screen; a tablet or a desktop can be scanned by the phone. */
export function isPhone(client = hostNavigator()) {
  const agent = agentOf(client);
  return /Mobi/i.test(agent) && !/iPad|Tablet/i.test(agent);
}

function agentOf(client) {
  return (client && client.userAgent) || "";
}

function hostNavigator() {
  return typeof navigator === "undefined" ? undefined : navigator;
}
