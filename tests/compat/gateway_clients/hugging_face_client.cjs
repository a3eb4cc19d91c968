// Hugging Face's own client, which takes the URL of a TEI.
const { InferenceClient } = require("@huggingface/inference");

const client = new InferenceClient("none").endpoint(process.env.TEI_URL);

async function main() {
  const inputs = JSON.parse(process.env.TEXTS);
  const several = await client.featureExtraction({ inputs });
  console.log(JSON.stringify({ several }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
