// Debian's Chromium, and pages that remember what went wrong in them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

const screenshots = process.env.EVERPAID_SCREENSHOTS ?? fileURLToPath(new URL("../../target/screenshots", import.meta.url));
mkdirSync(screenshots, { recursive: true });

/** @param {import("playwright-core").LaunchOptions} options */
export function launch(options = {}) {
  return chromium.launch({ ...options, executablePath, args });
}

/**
 * A window whose tabs lie behind each other, as a person's do. Playwright keeps every page that it opens
 * itself in sight, so this one is only visited by it.
 */
export async function openWindow() {
  const profile = mkdtempSync(join(tmpdir(), "everpaid-window-"));
  const own = ["--headless=new", "--remote-debugging-port=0", `--user-data-dir=${profile}`, "--no-first-run", "--accept-lang=zh-CN", "--window-size=1100,860", "about:blank"];
  const process = spawn(executablePath, [...args, ...own], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = once(process, "exit");
  let told = "";
  for await (const chunk of process.stderr.iterator({ destroyOnReturn: false })) {
    told += chunk;
    if (/listening on ws:\S+\s/.test(told)) break;
  }
  process.stderr.resume();
  const browser = await chromium.connectOverCDP(told.match(/listening on (ws:\S+)/)[1], { noDefaults: true });
  const [context] = browser.contexts();
  return {
    context,
    newTab: async () => watched(await context.newPage()),
    async close() {
      const devtools = await browser.newBrowserCDPSession();
      await devtools.send("Browser.close");
      await ended;
      await rm(profile, { recursive: true, maxRetries: 9 }); // its helpers may end a moment later
    },
  };
}

/** A page of somebody of its own; `page.problems` lists what went wrong in it. */
export async function newPage(browser, options = {}) {
  const context = await browser.newContext({ locale: "zh-CN", viewport: { width: 1100, height: 860 }, reducedMotion: "reduce", ...options });
  return watched(await context.newPage());
}

function watched(page) {
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  // A request that is refused is the page's business; a part of the page that is missing is a problem.
  page.on("console", (message) => message.type() === "error" && !message.text().startsWith("Failed to load resource") && page.problems.push(message.text()));
  page.on("response", (response) => {
    const isPart = ["document", "script", "stylesheet", "image", "font"].includes(response.request().resourceType());
    if (isPart && response.status() >= 400) page.problems.push(`${response.status()} ${response.url()}`);
  });
  return page;
}

/** By all of their words. */
export const heading = (page, name) => page.getByRole("heading", { name, exact: true });
export const button = (page, name) => page.getByRole("button", { name, exact: true });

/** Keeps a picture, in target/screenshots unless EVERPAID_SCREENSHOTS says where. */
export async function shoot(page, name, options = {}) {
  await page.screenshot({ path: `${screenshots}/${name}.png`, ...options });
}
