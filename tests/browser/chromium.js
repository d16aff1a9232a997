// Debian's Chromium, and pages that remember what went wrong in them.

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const screenshots = process.env.EVERPAID_SCREENSHOTS ?? fileURLToPath(new URL("../../target/screenshots", import.meta.url));
mkdirSync(screenshots, { recursive: true });

/** @param {import("playwright-core").LaunchOptions} options */
export function launch(options = {}) {
  return chromium.launch({
    ...options,
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/** A page of somebody of its own; `page.problems` lists what went wrong in it. */
export async function newPage(browser, options = {}) {
  const context = await browser.newContext({ locale: "zh-CN", viewport: { width: 1100, height: 860 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
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

/** Keeps a picture, in target/screenshots unless EVERPAID_SCREENSHOTS says where. */
export async function shoot(page, name, options = {}) {
  await page.screenshot({ path: `${screenshots}/${name}.png`, ...options });
}
