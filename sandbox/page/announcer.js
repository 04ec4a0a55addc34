/** Says what happened to those who do not see it: summed up, so that a busy feed does not talk without end. */

const QUIET_MS = 2500;
const NAMES = {
  mail: ["mail", "mails"],
  sms: ["text message", "text messages"],
  label: ["label", "labels"],
  charge: ["charge", "charges"],
  refund: ["refund", "refunds"],
  tax: ["tax transaction", "tax transactions"],
  payment: ["payment that waits for the bank", "payments that wait for the bank"],
  webhook: ["webhook", "webhooks"],
};

export class Announcer {
  constructor(region) {
    this.region = region;
    this.arrived = new Map();
    this.timer = 0;
  }

  /** Say a sentence, such as the result of a button. */
  say(sentence) {
    this.region.textContent = sentence;
  }

  /** Count an entry that arrived; the sum is said at most every few seconds. */
  count(kind) {
    this.arrived.set(kind, (this.arrived.get(kind) ?? 0) + 1);
    this.timer ||= setTimeout(() => this.sum(), QUIET_MS);
  }

  sum() {
    const parts = [...this.arrived].map(([kind, number]) => `${number} ${NAMES[kind][number === 1 ? 0 : 1]}`);
    this.say(`New: ${parts.join(", ")}.`);
    this.arrived.clear();
    this.timer = 0;
  }
}
