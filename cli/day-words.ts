/** A made-up day in words, for somebody who has never heard of Shoal. */
import type { NodeLoadDocument } from '../node/control/load-documents.ts'
import type { DayHalf, DayResult } from './day-run.ts'
import type { DaySetting } from './day-setting.ts'
import type { DayEvent } from './day-watch.ts'
import { runShoalText } from './demo-process.ts'
import { plural, size, table } from './output.ts'

const BAR_CELLS = 30

export class DaySay {
  /** Ids of what ended, in order. */
  readonly receipts: string[] = []
  readonly #out: (line: string) => void
  readonly #setting: DaySetting & { readonly threshold: number }

  constructor(out: (line: string) => void, setting: DaySetting & { readonly threshold: number }) {
    this.#out = out
    this.#setting = setting
  }

  introduce(volume: string): void {
    const { rate, maxLoad, peak, seed, threshold } = this.#setting
    this.#out(`
A DAY OF THE VOLUME ${volume}, IN TWO MINUTES

What is made up: an application with a quiet night, a morning and a busy afternoon (seed ${seed}), which
reads and writes ${volume} through NBD, for real; seven earlier days of it, given to the mesh by \`shoal load
import\`; a limit: each storage node serves at most ${maxLoad} units of load a second (--max-load ${maxLoad}); and
the clock of load and balancing, which goes ${rate} times as fast as time. The I/O, the copying of data and what
nodes say to each other take as long as they take. Nothing else is staged: what the nodes foresee, and what
they do about it, is decided by them, by the code that ships.

A unit of load is a request, and one more for each 32 KiB of it. All of ${volume} is on one node, which would
need ${peak} units a second in the afternoon: more than its ${maxLoad}. From ${threshold} on it counts as overloaded.
`)
  }

  beginDay(title: string): void {
    this.receipts.length = 0
    this.#out(`\n${title.toUpperCase()}\n`)
    this.#out(
      'time   wanted   where it is served (units/s)    the node it is on: # now, . foreseen in the next hour   ' +
        'waiting of the application'
    )
  }

  half(
    { startMs, wanted, p50, p99, nodes }: DayHalf,
    home: string,
    top: readonly NodeLoadDocument[]
  ) {
    const served = nodes.map(({ name, load }) => `${name} ${String(Math.round(load)).padStart(4)}`)
    const node = top.find(({ node }) => node === home)
    const high = node?.ahead?.find(({ minutes }) => minutes === 60)?.q90
    const load = nodes.find(({ name }) => name === home)?.load ?? 0
    const waits = `p50 ${milliseconds(p50)}, p99 ${milliseconds(p99)}`
    const wants = String(Math.round(wanted)).padStart(6)
    const foreseen = high === undefined ? '    -' : String(Math.round(high)).padStart(5)
    this.#out(
      `${timeOf(startMs)}  ${wants}   ${served.join('  ')}   ${this.#bar(load, high)} ${foreseen}   ${waits}`
    )
  }

  tell(event: DayEvent): void {
    const line = this.#lineOf(event)
    if (line !== undefined) this.#out(`${timeOf(event.atMs)}  >> ${line}`)
    if (event.is === 'ended') this.receipts.push(event.receipt.id)
  }

  compare(on: DayResult, off: DayResult, wrongBlocks: number): void {
    const hours = `${timeOf(on.peak.fromMs)} to ${timeOf(on.peak.toMs)}`
    const minutes = (ms: number) => `${Math.round(ms / 60_000)} min`
    this.#out(
      `\n${table(
        ['', 'BALANCING ON', 'OFF'],
        [
          [
            `the slowest 1 % of requests, ${hours}`,
            milliseconds(on.peakP99),
            milliseconds(off.peakP99)
          ],
          ['the same in the rest of the day', milliseconds(on.restP99), milliseconds(off.restP99)],
          ['a node was overloaded', minutes(on.overMs), minutes(off.overMs)]
        ]
      )}\n`
    )
    const times = off.peakP99 / Math.max(0.001, on.peakP99)
    this.#out(
      `In the peak the slowest requests waited ${times.toFixed(1)} times as long without balancing. ` +
        (wrongBlocks === 0
          ? 'All data is as it was written last.'
          : `${plural(wrongBlocks, 'block')} are NOT as they were written last.`)
    )
  }

  async explained(dir: string, id: string): Promise<string> {
    return `\n$ shoal explain ${id}\n${await runShoalText(['explain', id, '--dir', dir])}`
  }

  #lineOf(event: DayEvent): string | undefined {
    switch (event.is) {
      case 'foreseen': {
        const { threshold, highAtMs, highPeak } = event.excess
        return (
          `${event.node} foresees that it may exceed ${Math.round(threshold)} units/s from ` +
          `${timeOf(highAtMs)} on, and reach up to ${Math.round(highPeak)}`
        )
      }
      case 'offered':
        return `${event.node} offers chunks to its peers (${event.id})`
      case 'awarded':
        return awardText(event)
      case 'ended': {
        const { receipt } = event
        const { state, chunks, bytes, targetName, longestPauseMs = 0, trouble } = receipt
        if (state !== 'done') return `move ${receipt.id} ${state}: ${trouble ?? 'no reason said'}`
        return (
          `${plural(chunks, 'chunk')} (${size(bytes)}) moved to ${targetName}; the application ` +
          `waited ${milliseconds(longestPauseMs)} for it at most`
        )
      }
      case 'over':
        return `${event.node} is overloaded`
      case 'under':
        return `${event.node} is well again`
      case 'eased':
        return undefined
    }
  }

  #bar(load: number, high: number | undefined): string {
    const { maxLoad, peak, threshold } = this.#setting
    const cellOf = (units: number) =>
      Math.round((units / (1.1 * Math.max(peak, maxLoad))) * BAR_CELLS)
    const cells = Array.from({ length: BAR_CELLS }, (_, i) => {
      if (i === cellOf(threshold)) return '|'
      if (i < cellOf(load)) return '#'
      return i < cellOf(high ?? 0) ? '.' : ' '
    })
    return `[${cells.join('')}]`
  }
}

function awardText({ receipt }: Extract<DayEvent, { is: 'awarded' }>): string {
  const { alternatives, sourceName, targetName, chunks, bytes, reason } = receipt
  const bids = alternatives.flatMap(({ name, bid, why }) =>
    bid === undefined
      ? [`${name}: ${why}`]
      : [`${name} has room for ${Math.round(bid.headroom)} more`]
  )
  const what = `${plural(chunks, 'chunk')} (${size(bytes)})`
  const said = bids.length === 0 ? '' : `; bids: ${bids.join(', ')}`
  return `${sourceName} gives ${what} to ${targetName}, ${reason}${said}`
}

function milliseconds(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`
}

/** Of the day, by the load clock. */
function timeOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(11, 16)
}
