// What the machine did meanwhile: whose time its cores spent, and how fast its disk was.
// bench/src/machine.rs and bench/src/disk.rs do the same for the other benchmarks.

import { once } from "node:events";
import { closeSync, fdatasyncSync, openSync, readFileSync, readdirSync, writeSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

const TICK_MS = 10; // in /proc, on every platform
const BLOCK = 8192; // as much as a page of a database's log
const PAUSE_MS = 10;
const OTHERS_MAX = 0.1;
const STALL_MS = 30;

/** Watches the machine until it is asked what it saw. @param {string} directory  on the database's disk */
export function watch(directory) {
  const began = { at: performance.now(), busy: busy(), ours: ours() };
  const stop = new SharedArrayBuffer(4);
  const worker = new Worker(new URL(import.meta.url), { workerData: { directory, stop } });
  worker.unref(); // a benchmark that fails does not wait for it
  const written = once(worker, "message");

  return async function seen() {
    const spent = busy() - began.busy - (ours() - began.ours);
    const others = Math.max(0, spent) / ((performance.now() - began.at) * availableParallelism());
    Atomics.store(new Int32Array(stop), 0, 1);
    const [took] = await written;
    const stalls = took.filter(({ ms }) => ms > STALL_MS);
    return {
      /** The part of all cores, from 0 to 1, that went to none of ours. */
      others,
      /** Milliseconds that a durable write of 8 KiB took, a hundred times a second. */
      writes: took.map(({ ms }) => ms),
      was_quiet: stalls.length === 0 && others <= OTHERS_MAX,
      /** Did a write hang while this went on? Times as `Date.now()` tells them. */
      stalled: (from, to) => stalls.some(({ at, ms }) => at <= to && at + ms >= from),
    };
  };
}

/** All the time that any core was not idle, in ms. */
function busy() {
  const [user, nice, system, , , irq, softirq, steal] = fields(readFileSync("/proc/stat", "utf8").split("\n")[0]).slice(1).map(Number);
  return TICK_MS * (user + nice + system + irq + softirq + steal);
}

/** CPU time of this process and of everything below it, children that have ended included, in ms. */
function ours() {
  const processes = new Map();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      // The name in parentheses may hold anything; the fields are counted behind it.
      const behind = fields(stat.slice(stat.lastIndexOf(")") + 1));
      processes.set(pid, { parent: behind[1], ticks: behind.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) });
    } catch {
      // it has ended meanwhile
    }
  }
  const isOurs = (pid) => pid === String(process.pid) || (processes.has(pid) && isOurs(processes.get(pid).parent));
  return [...processes].filter(([pid]) => isOurs(pid)).reduce((sum, [, { ticks }]) => sum + TICK_MS * ticks, 0);
}

const fields = (line) => line.trim().split(/\s+/);

/** Times `write` + `fdatasync`; like a database's log, the file is there beforehand and is overwritten. */
function timeWrites({ directory, stop }) {
  const file = openSync(join(directory, "fsync-probe"), "w");
  const block = Buffer.alloc(BLOCK, 0x5a);
  const stopped = new Int32Array(stop);
  const took = [];
  for (let isFirst = true; isFirst || Atomics.load(stopped, 0) === 0; isFirst = false) {
    const at = Date.now();
    const began = performance.now();
    writeSync(file, block, 0, BLOCK, 0);
    fdatasyncSync(file);
    if (!isFirst) took.push({ at, ms: performance.now() - began }); // the first one makes the file
    Atomics.wait(stopped, 0, 0, PAUSE_MS);
  }
  closeSync(file);
  parentPort.postMessage(took);
}

if (!isMainThread) timeWrites(workerData);
