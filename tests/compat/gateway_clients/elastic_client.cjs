// The seed's JavaScript snippet with Elastic's own client, then the rest of an endpoint's life.
const { Client } = require("@elastic/elasticsearch");

const client = new Client({
  node: process.env.GATEWAY_URL,
  auth: { apiKey: process.env.GATEWAY_KEY },
});
const id = "hugging-face-embeddings";
const input = JSON.parse(process.env.TEXTS);

async function main() {
  const said = {};
  const response = await client.inference.put({
    task_type: "text_embedding",
    inference_id: "hugging-face-embeddings",
    inference_config: {
      service: "hugging_face",
      service_settings: {
        api_key: "<access_token>",
        url: process.env.ENDPOINT_URL,
      },
    },
  });
  said.put = response;
  said.get = await client.inference.get({ inference_id: id });
  said.inference = await client.inference.inference({ inference_id: id, input });
  said.text_embedding = await client.inference.textEmbedding({
    inference_id: id,
    input,
    input_type: "ingest",
  });
  said.update = await client.inference.update({
    inference_id: id,
    inference_config: { service_settings: { rate_limit: { requests_per_minute: 2000 } } },
  });
  try {
    await client.inference.put({
      task_type: "text_embedding",
      inference_id: id,
      inference_config: {
        service: "hugging_face",
        service_settings: { api_key: "<access_token>", url: process.env.ENDPOINT_URL },
      },
    });
  } catch (error) {
    said.again = { status: error.statusCode, type: error.body.error.type };
  }
  said.delete = await client.inference.delete({ inference_id: id });
  try {
    await client.inference.get({ inference_id: id });
  } catch (error) {
    said.gone = error.statusCode;
  }
  console.log(JSON.stringify(said));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
