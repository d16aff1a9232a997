// The simulator's own controls, as the pages use them.

export class Refused extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @param {string} target @param {object} [body] */
export async function ask(target, body) {
  const response = await fetch(`/_sim/${target}`, body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return read(response);
}

/** Takes something away. @param {string} target */
export async function drop(target) {
  return read(await fetch(`/_sim/${target}`, { method: "DELETE" }));
}

async function read(response) {
  const answer = response.status === 204 ? null : await response.json();
  if (!response.ok) throw new Refused(response.status, answer.error);
  return answer;
}
