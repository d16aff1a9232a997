import { join } from "node:path";

import { repository } from "./files.js";

/** The executable that `cargo build` made. */
export const everpaid = process.env.EVERPAID_BIN ?? join(repository, "target/debug/everpaid");
