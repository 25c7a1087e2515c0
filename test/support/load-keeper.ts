/** The load keeper beside its caller, on files in memory: the same code without its thread. */

import { LoadKeeper } from '../../node/load/keeper.ts'
import { KeeperRunner } from '../../node/load/keeper-runner.ts'
import type { LoadOptions } from '../../node/load/load.ts'
import type { SeriesFiles } from '../../node/load/series-files.ts'
import type { Clock } from '../../node/ports.ts'

export function keeperHere(files: SeriesFiles, clock: Clock, seed = 1): LoadOptions['runKeeper'] {
  return (port, onStart) => {
    const keeper = new LoadKeeper({
      files,
      seed,
      now: clock.now,
      send: news => port.receive(news)
    })
    const runner = new KeeperRunner(keeper, clock, message => port.receive(message))
    port.connect({
      send: message => runner.receive(message),
      close: async () => runner.stop()
    })
    onStart()
    return { close: () => port.close() }
  }
}
