/**
 * `npm start`: a whole mesh on this machine, with proof, until ctrl-C.
 *
 * Invariants: whatever happens, no process is left behind, and no file unless it was asked for;
 * with --json stdout gets exactly one line, when the volume can be used.
 */
import { Command, CommanderError } from 'commander'
import type { StatusDocument } from '../node/control/documents.ts'
import { messageOf } from '../protocols/fault.ts'
import { GiB } from '../protocols/limits.ts'
import { attachText } from './attach-commands.ts'
import { Client } from './client.ts'
import { showDay } from './demo-day.ts'
import { type DemoDirectory, openDemoDirectory } from './demo-directory.ts'
import { attachVolume, type DemoExport, type DemoMesh, startMesh } from './demo-mesh.ts'
import type { Running } from './demo-process.ts'
import { PROOF_BYTES, proveVolume } from './demo-proof.ts'
import { clean, size } from './output.ts'
import { statusText } from './status-command.ts'

const VOLUME = 'demo'
const VOLUME_BYTES = GiB
const PARENT_CHECK_MS = 500

interface DemoOptions {
  readonly once?: boolean
  readonly keep?: boolean
  readonly json?: boolean
  readonly dir?: string
  readonly day?: boolean
}

let stopping = false

process.exitCode = await main()

async function main(): Promise<number> {
  const options = parse()
  if (typeof options === 'number') return options
  const stop = stopSignal()
  const running: Running[] = []
  let directory: DemoDirectory | undefined
  let work: Promise<void> = Promise.resolve()
  try {
    directory = openDemoDirectory(options.dir)
    work = prove(directory, options, node => {
      running.push(node)
      // Begun before the signal: it is stopped with the others, and nothing follows it.
      if (stopping) throw new Error('the demo ends')
    })
    const isProven = await Promise.race([work.then(() => true), stop.then(() => false)])
    if (!isProven) return options.once === true ? 1 : 0
    if (options.once !== true) await stop
    return 0
  } catch (error) {
    say(`failed: ${messageOf(error)}`)
    return 1
  } finally {
    await stopAll(running)
    // What was being started when the signal came has failed by now, or is running.
    await work.catch(() => undefined)
    await stopAll(running)
    if (directory !== undefined) leaveFiles(directory, options)
  }
}

function parse(): DemoOptions | number {
  const command = new Command('npm start --')
    .description('Brings up a whole mesh on this machine, proves it, and runs until ctrl-C.')
    .option('--once', 'stop after the proof; exit code 0 if it succeeded')
    .option('--keep', 'leave the files')
    .option(
      '--day',
      'then show a day in two minutes: an overload foreseen, and data moved before it'
    )
    .option('--dir <dir>', 'keep the files here; a demo of before is started again')
    .option('--json', 'one line of JSON on stdout when ready, all else on stderr')
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(clean(text.trim()).concat('\n')) })
  try {
    const options = command.parse().opts<DemoOptions>()
    if (options.day === true && (options.once === true || options.json === true)) {
      command.error('error: --day is a show that takes minutes: not with --once or --json')
    }
    return options
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? 0 : 2
  }
}

/**
 * Resolves at the first signal, or when npm, which started this, is gone; a second signal ends this
 * process, and the pipes end the nodes.
 */
function stopSignal(): Promise<void> {
  return new Promise(resolve => {
    if (process.env.npm_lifecycle_event !== undefined) {
      const parent = process.ppid
      const look = () => process.ppid === parent || resolve()
      setInterval(look, PARENT_CHECK_MS).unref()
    }
    let count = 0
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        count += 1
        if (count > 1) process.exit(1)
        resolve()
      })
    }
  })
}

async function prove(
  directory: DemoDirectory,
  options: DemoOptions,
  started: (node: Running) => void
): Promise<void> {
  const mesh = await startMesh(directory, say, started)
  // A day needs all of it on one node.
  const shards = options.day === true ? 1 : undefined
  const demoExport = await attachVolume(mesh, VOLUME, VOLUME_BYTES, shards)
  say(`volume ${VOLUME} (thin, ${size(VOLUME_BYTES)}) is attached; writing through NBD ...`)
  const { writeMs, readMs, sha256 } = await proveVolume(demoExport)
  const speed = (ms: number) => `${size(PROOF_BYTES / (ms / 1000))}/s`
  say(
    `proof: wrote and flushed ${size(PROOF_BYTES)} (${speed(writeMs)}), read it back over a new ` +
      `connection (${speed(readMs)}), every byte equal; sha256 ${sha256}`
  )
  const client = new Client(mesh.gateway.place.dir)
  const status = await client.get<StatusDocument>('/v1/status')
  if (options.json === true) {
    process.stderr.write(`${statusText(status)}\n`)
    process.stdout.write(`${JSON.stringify(readyDocument(mesh, demoExport))}\n`)
  } else process.stdout.write(`\n${statusText(status)}\n\n${attachText(demoExport)}\n\n`)
  if (options.day === true) {
    const out = (text: string): void => void process.stdout.write(`${text}\n`)
    const place = { path: directory.path, volume: VOLUME, sizeBytes: VOLUME_BYTES }
    await showDay({ mesh, ...place, say, out, started })
  } else watch(mesh)
  if (options.once !== true) say(`running in ${directory.path}; ctrl-C ends it`)
}

function readyDocument(mesh: DemoMesh, { uri }: DemoExport): object {
  const describe = ({ place, pid, socket }: Running) => {
    return { region: place.region, pid, dir: place.dir, socket }
  }
  return { nbd: uri, nodes: mesh.storage.map(describe), gateway: describe(mesh.gateway) }
}

/** A node may be killed to see what happens: the mesh goes on, and so does the demo. */
function watch({ storage, gateway }: DemoMesh): void {
  for (const node of [...storage, gateway]) {
    void node.ended.then(how => {
      if (stopping) return
      say(`node ${node.place.name} ended (${how}); \`shoal up --dir ${node.place.dir}\` starts it`)
    })
  }
}

/** The gateway first: it flushes to the storage nodes while they are there. */
async function stopAll(running: readonly Running[]): Promise<void> {
  stopping = true
  const isGateway = (node: Running) => node.place.capacity === '0'
  await Promise.all(running.filter(isGateway).map(node => node.stop()))
  await Promise.all(running.filter(node => !isGateway(node)).map(node => node.stop()))
}

function leaveFiles(directory: DemoDirectory, { dir, keep }: DemoOptions): void {
  if (dir === undefined && keep !== true) directory.remove()
  else say(`the files are in ${directory.path}`)
}

function say(line: string): void {
  process.stderr.write(`demo: ${line}\n`)
}
