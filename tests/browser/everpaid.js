// Starts `everpaid dev` on free ports and a directory of its own, and ends it.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { once } from "node:events";

const repository = fileURLToPath(new URL("../..", import.meta.url));

/** The executable that `cargo build` made. */
const executable = process.env.EVERPAID_BIN ?? join(repository, "target/debug/everpaid");

export class Everpaid {
  /** A new installation, not running yet. */
  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), "everpaid-"));
    this.data = join(this.directory, "everpaid-data");
    this.ports = ["0", "0", "0", "0", "0"];
  }

  /**
   * Runs `cargo run`'s executable and returns what dev.json says.
   * @param {{ahead?: string}} clock  how far ahead of this machine's it is, such as 11m
   */
  async start({ ahead } = {}) {
    const [api, simulator, metrics, shop, browser] = this.ports.map((port) => `127.0.0.1:${port}`);
    const options = ["--data", this.data, "--listen", api, "--simulator-listen", simulator, "--metrics-listen", metrics, "--shop-listen", shop, "--browser-listen", browser];
    const env = ahead ? { ...process.env, LD_PRELOAD: faketime(), FAKETIME: `+${ahead}`, FAKETIME_DONT_FAKE_MONOTONIC: "1" } : process.env;
    this.process = spawn(executable, options, { stdio: ["ignore", "pipe", "inherit"], env });
    // The banner is printed when everything listens and dev.json is written.
    let printed = "";
    for await (const chunk of this.process.stdout) {
      printed += chunk;
      if (printed.includes("goes on where it was")) break;
    }
    const dev = JSON.parse(readFileSync(join(this.data, "dev.json"), "utf8"));
    // Started again, it is where it was.
    this.ports = [dev.api_url, dev.simulator_url, dev.metrics_url, dev.shop_url, dev.wechat_url].map((url) => new URL(url).port);
    return dev;
  }

  /** As a power cut would. */
  async kill() {
    await this.#end("SIGKILL");
  }

  async stop() {
    const code = await this.#end("SIGTERM");
    rmSync(this.directory, { recursive: true });
    return code;
  }

  async #end(signal) {
    const ended = once(this.process, "exit");
    this.process.kill(signal);
    return (await ended)[0];
  }
}

/** Where Debian's package puts the library that shifts a process' clock. */
function faketime() {
  const libraries = readdirSync("/usr/lib").map((folder) => `/usr/lib/${folder}/faketime/libfaketimeMT.so.1`);
  const library = libraries.find((library) => existsSync(library));
  if (!library) throw new Error("libfaketime is not installed");
  return library;
}
