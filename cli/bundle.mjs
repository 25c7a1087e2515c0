/**
 * The second half of `npm run build`: what tsc compiled into dist/ and the npm packages that it
 * imports become a few files in dist/bundle/. A daemon then loads some 30 files in place of 1,100, and
 * is up in half of the time (docs/adr/0016-bundle.md).
 *
 * Invariant: every program that is started as a process or thread of its own is an entry, and all are
 * bundled together: no process ever has the same module twice.
 */
import { chmodSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const DIRECTORY = `${ROOT}dist/bundle`
const PROGRAMS = [
  'cli/main',
  'cli/demo',
  'cli/demo-node',
  'node/load/keeper-thread',
  'test/support/handoff-launcher',
  'test/bench/move-launcher'
]
/** With native code or threads of their own, which they look for beside themselves. */
const LEFT_OUT = [/^koffi$/, /^@node-rs\//, /^lz4-napi$/, /^pino$/]

const bundle = await rolldown({
  input: PROGRAMS.map(program => `${ROOT}dist/${program}.js`),
  platform: 'node',
  external: LEFT_OUT,
  onLog: (level, log) => {
    if (level !== 'debug') process.stderr.write(`bundle: ${log.message}\n`)
  }
})
rmSync(DIRECTORY, { recursive: true, force: true })
await bundle.write({ dir: DIRECTORY, format: 'esm', sourcemap: true, hashCharacters: 'hex' })
await bundle.close()
// The `shoal` command of package.json, however it was built.
chmodSync(`${DIRECTORY}/main.js`, 0o755)
