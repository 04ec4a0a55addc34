/** Requests to the sandbox. */

const TIMEOUT_MS = 15000;

/** What the sandbox refused, or why it could not be asked; the message is a sentence for people. */
export class Failure extends Error {}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new Failure("The sandbox does not answer. Is it running?");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Failure(`The sandbox refused: ${body.error ?? `status ${answer.status}`}.`);
  return body;
}

/** Return the JSON of a path. */
export const read = (path) => ask(path, {});

/** Change something; return the JSON answer. */
export const change = (method, path, body = undefined) =>
  ask(path, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
