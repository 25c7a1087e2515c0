/** The load keeper beside its caller, on files in memory: the same code without its thread. */

import { LoadKeeper } from '../../node/load/keeper.ts'
import type {
  KeeperAnswers,
  KeeperAsk,
  KeeperAskOf,
  KeeperNews,
  KeeperState,
  KeeperTell
} from '../../node/load/keeper-messages.ts'
import { KeeperRunner } from '../../node/load/keeper-runner.ts'
import type { LoadOptions } from '../../node/load/load.ts'
import type { SeriesFiles } from '../../node/load/series-files.ts'
import type { Clock } from '../../node/ports.ts'
import type { Published } from '../../protocols/forecast/subject.ts'
import { IDLE } from '../../protocols/load/record.ts'

export function keeperHere(files: SeriesFiles, clock: Clock, seed = 1): LoadOptions['runKeeper'] {
  return (port, onStart) => {
    const keeper = new LoadKeeper({
      files,
      seed,
      now: () => clock.now(),
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

/** A keeper by itself, given minutes by hand: no threads, no clocks but the minutes. */
export class DrivenKeeper {
  readonly files: SeriesFiles
  readonly forecasts = new Map<string, Published>()
  readonly troubles: string[] = []
  state: KeeperState | undefined
  readonly #keeper: LoadKeeper
  #nowMs: number

  constructor(files: SeriesFiles, nowMs: number, seed = 1) {
    this.files = files
    this.#nowMs = nowMs
    this.#keeper = new LoadKeeper({
      files,
      seed,
      now: () => this.#nowMs,
      send: news => this.#hear(news)
    })
  }

  tell(message: KeeperTell): void {
    this.#keeper.hear(message)
  }

  ask<Q extends KeeperAsk['ask']>(question: KeeperAskOf<Q>): KeeperAnswers[Q] {
    const work = this.#keeper.answer(question as KeeperAsk)
    for (;;) {
      const next = work.next()
      // The keeper answers each kind of question with its own kind of answer.
      if (next.done === true) return next.value as KeeperAnswers[Q]
    }
  }

  /** The minute `slot` has ended: loads by key, in units, all of them small reads. */
  minute(slot: number, loads: ReadonlyMap<string, number>): void {
    this.#nowMs = (slot + 1) * 60_000
    const records = [...loads].map(([key, load]) => ({ key, record: { ...IDLE, reads: load } }))
    this.tell({ tell: 'tick', second: slot * 60 + 59, seconds: [], minute: { slot, records } })
  }

  /** Reads every past to its end. */
  catchUp(): void {
    while (this.#keeper.catchUp()) {
      // One slice after the other.
    }
  }

  /** One slice of training; whether there was any. */
  train(): boolean {
    return this.#keeper.train()
  }

  close(): void {
    this.#keeper.close()
  }

  #hear(news: KeeperNews): void {
    if (news.news === 'state') this.state = news.state
    else if (news.news === 'trouble') this.troubles.push(news.what)
    else for (const { key, forecast } of news.forecasts) this.forecasts.set(key, forecast)
  }
}
