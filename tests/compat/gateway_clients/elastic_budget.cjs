// One of several programs that share an endpoint: it embeds a few texts, one after another.
const { Client } = require("@elastic/elasticsearch");

const client = new Client({
  node: process.env.GATEWAY_URL,
  auth: { apiKey: process.env.GATEWAY_KEY },
});

async function main() {
  for (let number = 0; number < Number(process.env.TIMES); number++) {
    await client.inference.inference({ inference_id: "budget", input: `javascript ${number}` });
  }
  console.log(JSON.stringify({ done: true }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
