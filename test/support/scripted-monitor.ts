/** A monitor that measures what the test says, by the load clock: nothing is really asked. */
import type { LoadMonitor, MonitorTick } from '../../node/shard/monitor.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { IDLE, together } from '../../protocols/load/record.ts'

/** Units per second of each shard in this second (since 1970). */
export type Script = (second: number) => ReadonlyMap<VolumeId, number>

export class ScriptedMonitor implements LoadMonitor {
  readonly #script: Script
  #minute: number | undefined

  constructor(script: Script) {
    this.#script = script
  }

  turn(second: number): MonitorTick {
    const now = this.#loads(second)
    const minute = Math.floor(second / 60)
    const over = this.#minute
    this.#minute = minute
    if (over === undefined || over === minute) return { second: now, minute: undefined }
    const ended = { minute: over, minutes: 1, lengthMs: 60_000, ...this.#loads(over * 60) }
    return { second: now, minute: ended }
  }

  details(): undefined {
    return undefined
  }

  #loads(second: number) {
    const shards = [...this.#script(second)].map(([volume, load]) => ({
      volume,
      record: { ...IDLE, reads: load }
    }))
    return { shards, node: together(shards.map(({ record }) => record)) }
  }
}
