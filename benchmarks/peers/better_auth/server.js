// better-auth with user names, passwords and its second factor, on SQLite. `node server.js migrate` makes the tables.
import { createServer } from "node:http";

import bcrypt from "bcrypt";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { twoFactor, username } from "better-auth/plugins";
import Database from "better-sqlite3";

const database = new Database("better-auth.db");
database.pragma("journal_mode = WAL");

const options = {
  appName: "Benchmark",
  baseURL: "https://auth.example.com",
  secret: process.env.SECRET,
  database,
  emailAndPassword: {
    enabled: true,
    password: {
      hash: (password) => bcrypt.hash(password, Number(process.env.BCRYPT_ROUNDS)),
      verify: ({ password, hash }) => bcrypt.compare(password, hash),
    },
  },
  rateLimit: { enabled: false },
  plugins: [username(), twoFactor()],
};

if (process.argv[2] === "migrate") {
  await (await getMigrations(options)).runMigrations();
} else {
  createServer(toNodeHandler(betterAuth(options))).listen(Number(process.argv[2]), "127.0.0.1");
}
