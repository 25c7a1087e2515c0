/** A monitor that measures what the test says, by the load clock: nothing is really asked. */
import type { LoadMonitor, MonitorTick } from '../../node/shard/monitor.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { IDLE, together } from '../../protocols/load/record.ts'

/** Units per second of each shard in this second (since 1970); undefined: nothing is measured. */
export type Script = (second: number) => ReadonlyMap<VolumeId, number> | undefined

export class ScriptedMonitor implements LoadMonitor {
  readonly #script: Script
  #minute: number | undefined

  constructor(script: Script) {
    this.#script = script
  }

  turn(second: number): MonitorTick {
    const now = this.#loads(second)
    if (now === undefined) return { second: undefined, minute: undefined }
    const minute = Math.floor(second / 60)
    const over = this.#minute
    this.#minute = minute
    if (over === undefined || over === minute) return { second: now, minute: undefined }
    const load = this.#loads(over * 60) ?? now
    return { second: now, minute: { minute: over, minutes: 1, lengthMs: 60_000, ...load } }
  }

  details(): undefined {
    return undefined
  }

  #loads(second: number) {
    const loads = this.#script(second)
    if (loads === undefined) return undefined
    const shards = [...loads].map(([volume, load]) => ({
      volume,
      record: { ...IDLE, reads: load }
    }))
    return { shards, node: together(shards.map(({ record }) => record)) }
  }
}
