/** The load service as the daemon runs it: the keeper in a thread of its own, its files in DIR/load. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { runKeeperThread } from './keeper-wire.ts'
import { Load, type LoadOptions } from './load.ts'
import { serveLoad } from './serve.ts'

export function openLoad(options: Omit<LoadOptions, 'runKeeper'>, dataDir: string): Load {
  const { clock, loadClock, log, random } = options
  const dir = join(dataDir, 'load')
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const seed = Buffer.from(random.bytes(4)).readUInt32LE()
  const load = new Load({
    ...options,
    runKeeper: (port, onStart) => {
      return runKeeperThread({ dir, seed, scale: loadClock.scale, clock, log, port, onStart })
    }
  })
  serveLoad(load)
  return load
}
