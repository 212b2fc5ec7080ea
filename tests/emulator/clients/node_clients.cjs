// Makes calls with the clients from npm. It reads a JSON array of jobs from standard input, and writes the codes of each.
"use strict";
const ccxt = require("ccxt");
const { RestClient } = require("okx-api");

const STAKING = "/api/v5/finance/staking-defi/sol";

function okxApi({ url, api_key, secret_key, passphrase, demo }) {
  const client = new RestClient({ apiKey: api_key, apiSecret: secret_key, apiPass: passphrase, baseUrl: url, demoTrading: demo });
  // It throws OKX's response, and returns `data` alone.
  const code = call => call.then(() => "0", error => String(error.code));
  return {
    balance: () => code(client.getPrivate(`${STAKING}/balance`)),
    product: () => code(client.getPrivate(`${STAKING}/product-info`)),
    purchase: () => code(client.postPrivate(`${STAKING}/purchase`, { amt: "1.5" })),
    redeem: () => code(client.postPrivate(`${STAKING}/redeem`, { amt: "0.5" })),
    history: () => code(client.getPrivate(`${STAKING}/purchase-redeem-history`, { type: "redeem", limit: "1" })),
    apy: () => code(client.get(`${STAKING}/apy-history`, { days: "7" })),
    unsignedProduct: () => code(client.getSOLStakingProductInfo()),
    account: () => code(client.getAccountConfiguration()),
    funding: () => code(client.getBalances()),
  };
}

function ofCcxt({ url, api_key, secret_key, passphrase, demo }) {
  const client = new ccxt.okx({ apiKey: api_key, secret: secret_key, password: passphrase, enableRateLimit: false });
  if (demo) client.setSandboxMode(true);
  client.urls.api = { rest: url };
  const code = call => call.then(body => body.code, error => String(JSON.parse(error.message.slice(error.message.indexOf("{"))).code));
  return {
    balance: () => code(client.privateGetFinanceStakingDefiSolBalance()),
    product: () => code(client.privateGetFinanceStakingDefiSolProductInfo()),
    purchase: () => code(client.privatePostFinanceStakingDefiSolPurchase({ amt: "1.5" })),
    redeem: () => code(client.privatePostFinanceStakingDefiSolRedeem({ amt: "0.5" })),
    history: () => code(client.privateGetFinanceStakingDefiSolPurchaseRedeemHistory({ type: "redeem", limit: "1" })),
    apy: () => code(client.publicGetFinanceStakingDefiSolApyHistory({ days: "7" })),
    cancel: () => code(client.privatePostFinanceStakingDefiSolCancelRedeem({ ordId: "1" })),
  };
}

async function main() {
  let text = "";
  for await (const line of process.stdin) {
    text += line;
    // Each line is a job, so that one process does all of them.
    while (text.includes("\n")) {
      const job = JSON.parse(text.slice(0, text.indexOf("\n")));
      text = text.slice(text.indexOf("\n") + 1);
      const client = (job.client === "ccxt" ? ofCcxt : okxApi)(job.settings);
      const codes = [];
      for (const name of job.calls) codes.push(await client[name]());
      process.stdout.write(JSON.stringify(codes) + "\n");
    }
  }
}
main();
