/**
 * The daemon in the foreground: starts it, says when it is ready, stops it on a signal.
 *
 * Invariants: the first SIGINT or SIGTERM stops cleanly, the second one at once; a stop that hangs
 * ends after STOP_LIMIT_MS; with `untilStdinCloses` the daemon never outlives its parent.
 */
import { type DaemonOptions, startDaemon } from '../node/daemon.ts'
import type { Io } from './io.ts'
import { type LogLevel, openLog } from './log.ts'
import type { Common } from './options.ts'

const STOP_LIMIT_MS = 30_000

export interface RunOptions
  extends Pick<
    DaemonOptions,
    // The load clock and the mode of balancing are a demo's (demo-node.ts): no command sets them.
    | 'listen'
    | 'announce'
    | 'ioTimeoutMs'
    | 'moveBound'
    | 'maxLoad'
    | 'nbd'
    | 'loadClock'
    | 'balance'
  > {
  readonly rebind: boolean
  readonly acceptLoss: boolean
  readonly untilStdinCloses: boolean
  readonly logLevel: LogLevel
}

/** Resolves once the daemon has stopped. Throws what kept it from starting. */
export async function runDaemon(io: Io, common: Common, options: RunOptions): Promise<void> {
  const { untilStdinCloses, logLevel, ...rest } = options
  const log = openLog(io, logLevel)
  let stop: (reason: string) => void = () => undefined
  const stopping = new Promise<string>(resolve => {
    stop = resolve
  })
  onSignals(stop)
  if (untilStdinCloses) process.stdin.on('close', () => stop('the parent ended')).resume()
  const daemon = await startDaemon({ dir: common.dir, log, onShutdown: stop, ...rest })
  announce(io, common, daemon.context.self)
  const reason = await stopping
  log.info({ reason }, 'stopping')
  setTimeout(() => process.exit(1), STOP_LIMIT_MS).unref()
  await daemon.stop()
  // Whatever still keeps the event loop alive holds nothing that matters any more.
  setImmediate(() => process.exit(0))
}

function onSignals(stop: (reason: string) => void): void {
  let count = 0
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      count += 1
      if (count > 1) process.exit(1)
      stop(signal)
    })
  }
}

type Self = Awaited<ReturnType<typeof startDaemon>>['context']['self']

function announce(io: Io, { json, dir }: Common, self: Self): void {
  const { id, name, region, mesh } = self
  const addresses = self.addresses()
  const document = { ready: true, pid: process.pid, id, name, region, mesh, dir, addresses }
  io.out(
    json
      ? JSON.stringify(document)
      : `node ${name} (${region}) is up, on ${addresses.join(', ')}; ctrl-C stops it`
  )
}
