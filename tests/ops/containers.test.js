// The containers' files, as far as they can be checked without an engine: by the schema of the Compose
// specification, by a linter of Dockerfiles, and by what this repository wants of them. That the processes
// they start work together is layout.test.js.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import Ajv from "ajv";
import { validate } from "dockerfile-utils";

import { read, readYaml, repository } from "./files.js";

const compose = readYaml("docker-compose.yml");
const services = Object.entries(compose.services);

test("docker-compose.yml is what the Compose specification allows", () => {
  // dclint brings the newest schema; the linter itself wants a newer Node.js than Debian's.
  const schema = JSON.parse(read("tests/ops/node_modules/dclint/schemas/compose.schema.json"));
  // Its "$schema" is spelt in a way that ajv does not know; its formats are hints.
  const allowed = new Ajv({ strict: false, validateFormats: false }).compile({ ...schema, $schema: undefined });
  assert.ok(allowed(compose), JSON.stringify(allowed.errors, null, 2));
  assert.ok(!allowed({ ...compose, services: { api: { imagine: "everpaid" } } }), "the schema refuses what it does not know");
});

test("the layout is the scaled one", () => {
  const roles = (role) => services.filter(([, service]) => service.command?.[0] === role).map(([name]) => name);
  assert.deepEqual(roles("api"), ["api-1", "api-2"]);
  assert.deepEqual(roles("worker"), ["worker-1", "worker-2", "worker-3"]);
  assert.deepEqual(Object.keys(compose.services).sort(), ["api-1", "api-2", "grafana", "migrate", "postgres", "prometheus", "redis", "simulator", "worker-1", "worker-2", "worker-3"]);
});

test("Prometheus reads every process there is, by its role", () => {
  const [{ job_name, static_configs }] = readYaml("ops/prometheus.yml").scrape_configs;
  assert.equal(job_name, "everpaid");
  const targets = static_configs.flatMap(({ targets, labels }) => targets.map((target) => [target, labels.role]));
  const expected = services.filter(([, { command }]) => ["api", "worker"].includes(command?.[0])).map(([name, { command }]) => [`${name}:8702`, command[0]]);
  assert.deepEqual(targets, expected);
});

test("no container is root, can become it, or is open to the network", () => {
  for (const [name, service] of services) {
    assert.ok(service.user && !/^(root|0)(:|$)/.test(service.user), `${name} has no user`);
    for (const port of service.ports ?? []) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/, name);
    assert.ok(!service.privileged, name);
    if (service.image !== "everpaid") {
      assert.match(service.image, /:[^:]*\d/, `${name} has no version`);
      continue;
    }
    assert.deepEqual([service.read_only, service.cap_drop, service.security_opt], [true, ["ALL"], ["no-new-privileges:true"]], name);
  }
});

test("whoever waits for another can know when it is ready, and everybody is looked after", () => {
  for (const [name, service] of services) {
    for (const [awaited, { condition }] of Object.entries(service.depends_on ?? {})) {
      const other = compose.services[awaited];
      assert.ok(other, `${name} waits for ${awaited}, which is not there`);
      if (condition === "service_completed_successfully") assert.equal(other.restart, "on-failure", awaited);
      else assert.ok(condition === "service_healthy" && other.healthcheck.test[0] === "CMD", `${name} → ${awaited}`);
    }
    const ends = name === "migrate";
    assert.equal(Boolean(service.healthcheck.disable), ends, name);
    assert.equal(service.restart, ends ? "on-failure" : "unless-stopped", name);
  }
});

test("what is mounted is there, and read-only", () => {
  let files = 0;
  for (const [name, service] of services) {
    for (const mount of service.volumes) {
      const [from, to, mode] = mount.split(":");
      assert.ok(to.startsWith("/"), mount);
      if (from.startsWith("./")) {
        assert.ok(existsSync(join(repository, from)), `${name} mounts ${from}, which is not there`);
        assert.equal(mode, "ro", `${name} could write ${from}`);
        files += 1;
      } else assert.ok(from in compose.volumes, `${name} mounts ${from}, which is no volume`);
    }
  }
  assert.ok(files > 8, `${files}`);
  // Grafana and Prometheus look where the files are.
  const mounted = (service) => Object.fromEntries(compose.services[service].volumes.map((mount) => mount.split(":").slice(0, 2).reverse()));
  const grafana = mounted("grafana");
  const { providers } = readYaml("ops/grafana/provisioning/dashboards/everpaid.yml");
  assert.equal(grafana[providers[0].options.path], "./ops/grafana");
  const home = compose.services.grafana.environment.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH;
  assert.ok(existsSync(join(repository, home.replace(providers[0].options.path, "ops/grafana"))), home);
  const { datasources } = readYaml("ops/grafana/provisioning/datasources/prometheus.yml");
  assert.equal(datasources[0].url, "http://prometheus:9090");
  assert.equal(datasources[0].jsonData.timeInterval, readYaml("ops/prometheus.yml").global.scrape_interval);
  assert.equal(mounted("prometheus")["/etc/prometheus/rules"], "./ops/rules");
});

test("addresses that the services give each other lead to a service", () => {
  const names = new Set(services.flatMap(([name, service]) => [name, ...(service.networks?.default?.aliases ?? [])]));
  const config = read("ops/everpaid.compose.toml");
  for (const [, host] of config.matchAll(/(?:http:\/\/|@)([a-z.-]+):\d+/g)) assert.ok(names.has(host), host);
  assert.match(config, /^url = "postgres:\/\/everpaid:everpaid@postgres:5432\/everpaid"$/m);
  const { POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB } = compose.services.postgres.environment;
  assert.deepEqual([POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB], ["everpaid", "everpaid", "everpaid"]);
  // A browser on this machine, and the services among themselves, use the same address.
  for (const [service, alias, port] of [["api-1", "everpaid.localhost", 8700], ["simulator", "simulator.localhost", 8701]]) {
    assert.ok(compose.services[service].networks.default.aliases.includes(alias));
    assert.deepEqual(compose.services[service].ports, [`127.0.0.1:${port}:${port}`]);
    assert.ok(config.includes(`http://${alias}:${port}`), alias);
  }
});

test("the Dockerfile has no mistake that a linter sees, and ends without root and without tools", () => {
  const dockerfile = read("Dockerfile");
  assert.deepEqual(validate(dockerfile), []);
  assert.notDeepEqual(validate("FROM scratch\nRUNN x\n"), []);
  const stages = dockerfile.split(/^FROM /m).slice(1);
  assert.equal(stages.length, 2);
  const [build, image] = stages;
  assert.match(build, /^rust:\d\.\d+-/);
  const wanted = read("Cargo.toml").match(/^rust-version = "(.*)"$/m)[1];
  assert.ok(build.startsWith(`rust:${wanted}-`), `the build wants Rust ${wanted}`);
  assert.match(build, /cargo build --release --locked/);
  assert.match(image, /^debian:bookworm-slim\n/);
  // The same Debian on both sides, or the C library may be too old.
  assert.match(build, /^rust:[^\n]*bookworm/);
  const user = image.match(/^USER (\d+):(\d+)$/m);
  assert.ok(Number(user[1]) > 0);
  assert.ok(!/apt|curl|^RUN .*sh /m.test(image));
  for (const name of ["api-1", "worker-1", "simulator"]) assert.equal(compose.services[name].user, `${user[1]}:${user[2]}`);
});

test("neither keys nor built things are sent to the build", () => {
  const ignored = read(".dockerignore").split("\n");
  for (const name of ["target", "everpaid-data", ".git", "**/node_modules"]) assert.ok(ignored.includes(name), name);
  // What cargo reads is not among them.
  const members = read("Cargo.toml").match(/^members = \[(.*)\]$/m)[1].matchAll(/"([^"]+)"/g);
  for (const [, member] of members) assert.ok(!ignored.includes(member.split("/")[0]), member);
});
