// Takes the server through its paces with @azure/service-bus, which shares no
// code with the Go client, and prints what happened as one line of JSON.
// Usage: node second_client.mjs <connection string>
import { ServiceBusClient } from "@azure/service-bus";

const client = new ServiceBusClient(process.argv[2], { retryOptions: { retryDelayInMs: 1, maxRetries: 2 } });
const seen = {};
const sender = client.createSender("jobs");
const receiver = client.createReceiver("jobs");

const one = async (from = receiver) => {
  const [m] = await from.receiveMessages(1, { maxWaitTimeInMs: 10000 });
  if (!m) throw new Error("no message");
  return m;
};

await sender.sendMessages({ body: { hello: "world" }, messageId: "single", applicationProperties: { n: 7, s: "x" } });
let m = await one();
seen.single = [m.body.hello, m.messageId, m.applicationProperties.n, m.applicationProperties.s, m.deliveryCount, m.sequenceNumber.toNumber()];
const before = m.lockedUntilUtc.getTime();
seen.renewed = (await receiver.renewMessageLock(m)).getTime() >= before;
await receiver.abandonMessage(m);
m = await one();
seen.abandoned = m.deliveryCount;
await receiver.completeMessage(m);

const batch = await sender.createMessageBatch();
for (let i = 0; i < 20; i++) {
  if (!batch.tryAddMessage({ body: `batch ${i}` })) throw new Error("the batch is full");
}
await sender.sendMessages(batch);
seen.batch = 0;
while (seen.batch < 20) {
  for (const m of await receiver.receiveMessages(20, { maxWaitTimeInMs: 10000 })) {
    if (m.body !== `batch ${seen.batch}` || !m.messageId) throw new Error(`out of order: ${m.body}`);
    await receiver.completeMessage(m);
    seen.batch++;
  }
}

const large = "x".repeat(200 * 1024);
await sender.sendMessages({ body: large });
m = await one();
seen.large = m.body === large;
await receiver.completeMessage(m);

const due = new Date(Date.now() + 3600_000);
const [seq] = await sender.scheduleMessages([{ body: "later" }], due);
const [peeked] = await receiver.peekMessages(5);
seen.peeked = [peeked.body, peeked.state, peeked.scheduledEnqueueTimeUtc.getTime() === due.getTime()];
await sender.cancelScheduledMessages(seq);
seen.left = (await receiver.peekMessages(5, { fromSequenceNumber: seq })).length;

await sender.sendMessages({ body: "aside", messageId: "aside" });
m = await one();
await receiver.deferMessage(m);
const [aside] = await receiver.receiveDeferredMessages(m.sequenceNumber);
seen.deferred = aside.body;
await receiver.deadLetterMessage(aside, { deadLetterReason: "why", deadLetterErrorDescription: "because" });

const dead = client.createReceiver("jobs", { subQueueType: "deadLetter", receiveMode: "receiveAndDelete" });
m = await one(dead);
seen.dead = [m.body, m.deadLetterReason, m.deadLetterErrorDescription, m.deadLetterSource];

try {
  await client.createSender("absent").sendMessages({ body: "x" });
} catch (e) {
  seen.absent = e.code;
}

// A subscription that settles by itself.
await sender.sendMessages([{ body: "s1" }, { body: "s2" }]);
seen.streamed = await new Promise((resolve, reject) => {
  const got = [];
  const sub = receiver.subscribe({
    processMessage: async (m) => {
      got.push(m.body);
      if (got.length === 2) setImmediate(() => sub.close().then(() => resolve(got), reject));
    },
    processError: async (e) => reject(e.error),
  });
});
await client.close();
console.log(JSON.stringify(seen));
