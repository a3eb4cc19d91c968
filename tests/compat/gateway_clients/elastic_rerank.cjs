// Reranking with Elastic's own client.
const { Client } = require("@elastic/elasticsearch");

const client = new Client({ node: process.env.GATEWAY_URL, auth: { apiKey: "none" } });
const asked = {
  inference_id: process.env.INFERENCE_ID,
  query: process.env.QUERY,
  input: JSON.parse(process.env.TEXTS),
};

async function main() {
  const said = {};
  said.put = await client.inference.put({
    task_type: "rerank",
    inference_id: asked.inference_id,
    inference_config: {
      service: "hugging_face",
      service_settings: { api_key: "<access_token>", url: process.env.ENDPOINT_URL },
      task_settings: { return_documents: true },
    },
  });
  said.all = await client.inference.rerank(asked);
  said.best = await client.inference.rerank({ ...asked, top_n: 2, return_documents: false });
  try {
    await client.inference.rerank({ ...asked, input: [asked.input[0], " "] });
  } catch (error) {
    said.refused = { status: error.statusCode, reason: error.body.error.reason };
  }
  console.log(JSON.stringify(said));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
