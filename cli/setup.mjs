/**
 * The bootstrap behind `npm start` and `npm test`: checks Node, installs the npm packages if they
 * are missing or package-lock.json changed, builds if a source changed. Plain JavaScript on Node's
 * built-in modules only, because nothing is installed or compiled when it runs.
 *
 * Invariants: nothing is written to stdout (scripts read the JSON line of `npm start` there);
 * a run that has nothing to do only reads file times; no apt, no sudo.
 */
const OLDEST = [20, 19]
const SOURCES = ['protocols', 'crdt', 'node', 'cli', 'test']
const BUNDLE = 'cli/bundle.mjs'

main().catch(error => {
  process.stderr.write(`setup: ${error.message}\n`)
  process.exitCode = 1
})

async function main() {
  checkNode()
  // Imported late: an old Node must get as far as the words above.
  const fs = await import('node:fs')
  const path = await import('node:path')
  const { fileURLToPath } = await import('node:url')
  const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..')
  await install({ fs, path, root })
  await build({ fs, path, root })
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) return
  process.stderr.write(
    `setup: Shoal needs Node ${OLDEST.join('.')} or newer, and this is ${process.versions.node}.\n` +
      'Install a newer one (https://nodejs.org/en/download) and run this again.\n'
  )
  process.exit(1)
}

async function install({ fs, path, root }) {
  const { createHash } = await import('node:crypto')
  const lock = fs.readFileSync(path.join(root, 'package-lock.json'))
  const stampFile = path.join(root, 'node_modules', '.shoal-installed')
  const stamp = `${createHash('sha256').update(lock).digest('hex')} ${process.platform} ${process.arch}\n`
  if (read(fs, stampFile) === stamp) return
  if (!matchesLock({ fs, path, root, lock })) {
    say('installing the npm packages (only the first time, or after package-lock.json changed) ...')
    await runNpm({ fs, path, root }, ['ci', '--include=dev', '--loglevel=error'])
  }
  fs.writeFileSync(stampFile, stamp)
}

/** True if node_modules was filled by other means with exactly what package-lock.json names. */
function matchesLock({ fs, path, root, lock }) {
  const hidden = read(fs, path.join(root, 'node_modules', '.package-lock.json'))
  if (hidden === undefined) return false
  const installed = JSON.parse(hidden).packages ?? {}
  return Object.entries(JSON.parse(lock.toString()).packages).every(([name, wanted]) => {
    if (name === '') return true
    const found = installed[name]
    return found === undefined ? wanted.optional === true : found.version === wanted.version
  })
}

async function runNpm({ fs, path, root }, args) {
  const os = await import('node:os')
  const environment = { ...process.env }
  // A user without a home that can be written to (containers, CI) gets a cache of this run only.
  const cache = canWrite(fs, os.homedir())
    ? undefined
    : fs.mkdtempSync(path.join(os.tmpdir(), 'shoal-npm-'))
  if (cache !== undefined) environment.npm_config_cache = cache
  const npm = process.env.npm_execpath ?? ''
  const [command, first] = npm.endsWith('npm-cli.js') ? [process.execPath, [npm]] : ['npm', []]
  try {
    await run(command, [...first, ...args], { cwd: root, env: environment })
  } finally {
    if (cache !== undefined) fs.rmSync(cache, { recursive: true, force: true })
  }
}

async function build({ fs, path, root }) {
  const dist = path.join(root, 'dist')
  const stampFile = path.join(dist, '.shoal-built')
  const sources = SOURCES.flatMap(folder => list(fs, path, path.join(root, folder)))
  const names = sources.map(file => path.relative(root, file)).sort()
  const inputs = [
    ...sources,
    ...['tsconfig.json', 'package-lock.json', BUNDLE].map(f => path.join(root, f))
  ]
  const newestMs = Math.max(...inputs.map(file => fs.statSync(file).mtimeMs))
  const stamp = `${newestMs}\n${names.join('\n')}\n`
  if (read(fs, stampFile) === stamp) return
  say('building ...')
  const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  await run(process.execPath, [compiler, '-p', path.join(root, 'tsconfig.json')], { cwd: root })
  removeOrphans(fs, path, root, new Set(names))
  await run(process.execPath, [path.join(root, BUNDLE)], { cwd: root })
  fs.writeFileSync(stampFile, stamp)
}

/** Takes away what was compiled from sources that are gone: a runner must not find old tests. */
function removeOrphans(fs, path, root, names) {
  const dist = path.join(root, 'dist')
  for (const file of list(fs, path, dist)) {
    const source = path.relative(dist, file).replace(/\.js(\.map)?$/, '.ts')
    if (source.endsWith('.ts') && !names.has(source)) fs.rmSync(file)
  }
}

function list(fs, path, folder) {
  return fs
    .readdirSync(folder, { withFileTypes: true })
    .flatMap(entry => {
      const file = path.join(folder, entry.name)
      return entry.isDirectory() ? list(fs, path, file) : [file]
    })
    .filter(file => /\.(ts|js|map)$/.test(file))
}

/** Runs a command with everything it prints on stderr. */
async function run(command, args, options) {
  const { spawn } = await import('node:child_process')
  const child = spawn(command, args, { ...options, stdio: ['ignore', 2, 2] })
  await new Promise((resolve, reject) => {
    child.on('error', error => reject(new Error(`cannot run ${command}: ${error.message}`)))
    child.on('exit', (code, signal) => {
      const line = [command, ...args].join(' ')
      if (code === 0) resolve()
      else reject(new Error(`\`${line}\` failed (${signal ?? `exit code ${code}`}); see above`))
    })
  })
}

function read(fs, file) {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

function canWrite(fs, folder) {
  try {
    fs.accessSync(folder, fs.constants.W_OK)
    return true
  } catch {
    return false
  }
}

function say(line) {
  process.stderr.write(`setup: ${line}\n`)
}
