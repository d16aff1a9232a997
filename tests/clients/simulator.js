// Starts `everpaid simulator` as its users do, with a forward proxy, and ends it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("../..", import.meta.url));

/** The executable that `cargo build` made. */
const executable = process.env.EVERPAID_BIN ?? join(repository, "target/debug/everpaid");

export class Simulator {
  /** Runs it in memory, on free ports, until `stop`. */
  static async start(...options) {
    const simulator = new Simulator();
    simulator.directory = mkdtempSync(join(tmpdir(), "everpaid-simulator-"));
    simulator.authority = join(simulator.directory, "ca.pem");
    const listening = ["--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0", "--proxy-ca", simulator.authority];
    simulator.process = spawn(executable, ["simulator", "--in-memory", ...listening, ...options], {
      cwd: simulator.directory,
      stdio: ["ignore", "pipe", "inherit"],
    });
    // The proxy's line is the last: by then everything listens.
    let printed = "";
    for await (const chunk of simulator.process.stdout) {
      printed += chunk;
      if (/forward proxy.*\n/.test(printed)) break;
    }
    simulator.url = printed.match(/simulated: +(http:\S+)/)[1];
    simulator.proxy = printed.match(/forward proxy +(http:[^\s,]+)/)[1];
    return simulator;
  }

  /** What a program sees: the simulator, and none of this machine's own settings. */
  environment(more = {}) {
    const { PATH, HOME } = process.env;
    return { PATH, HOME, SIMULATOR: this.url, ...more };
  }

  async stop() {
    const ended = once(this.process, "exit");
    this.process.kill("SIGTERM");
    await ended;
    rmSync(this.directory, { recursive: true });
  }
}
