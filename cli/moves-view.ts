/** What `shoal move` and `shoal moves` say: the list with its notes, and how one move went. */
import type { MoveDocument, MovesDocument } from '../node/control/documents.ts'
import { ShoalError } from '../protocols/fault.ts'
import { drainText } from './drain-command.ts'
import { receiptColumns } from './move-receipt-view.ts'
import { clean, durationText, plural, size, table } from './output.ts'

export function movesText(list: MovesDocument): string {
  const { moves, nodes, silent } = list
  const drains = nodes.filter(({ drain }) => drain.state !== 'off').map(drainText)
  const bounds = nodes
    .filter(({ bound }) => bound !== null)
    .map(({ name, bound }) => `copying from and to ${name} may use ${size(bound ?? 0)}/s`)
  const orphans = moves.filter(({ fromReceipt }) => fromReceipt === true).map(({ id }) => id)
  const others =
    orphans.length === 0
      ? []
      : [`the source does not answer, as its target keeps it: ${orphans.join(', ')}`]
  const silence = silent.length === 0 ? [] : [`no answer from ${silent.join(', ')}`]
  const notes = [...drains, ...bounds, ...others, ...silence].map(clean)
  return [
    moves.length === 0 ? 'no moves' : movesTable(list),
    ...(notes.length === 0 ? [] : ['', ...notes])
  ].join('\n')
}

function movesTable(list: MovesDocument): string {
  const known = receiptColumns(list)
  const rows = list.moves.map(move => [
    move.id,
    move.volumeName,
    move.fromName,
    move.toName,
    move.state,
    `${move.chunks.done} of ${move.chunks.total}`,
    `${size(move.bytes.done)} of ${size(move.bytes.total)}`,
    move.bytesPerSecond === 0 ? '-' : `${size(move.bytesPerSecond)}/s`,
    move.leftMs === undefined ? '-' : durationText(move.leftMs),
    ...known.map(({ cell }) => cell(move)),
    move.trouble === undefined ? move.why : `${move.why}; ${move.trouble}`
  ])
  const head = ['ID', 'VOLUME', 'FROM', 'TO', 'STATE', 'CHUNKS', 'BYTES', 'RATE', 'LEFT']
  return table([...head, ...known.map(({ head }) => head), 'WHY'], rows)
}

export function startedText(move: MoveDocument): string {
  const chunks = plural(move.chunks.total, 'chunk')
  return [
    `move ${move.id}: ${chunks} of ${move.volumeName} (${size(move.bytes.total)}) from ` +
      `${move.fromName} to ${move.toName}`,
    `next: shoal moves`
  ].join('\n')
}

export function doneText(move: MoveDocument): string {
  const took = durationText((move.endedAt ?? move.since) - move.since)
  return (
    `moved ${plural(move.chunks.done, 'chunk')} of ${move.volumeName} (${size(move.bytes.done)}) to ` +
    `${move.toName} in ${took}; longest pause ${Math.ceil(move.longestPauseMs)} ms`
  )
}

export function notDone(move: MoveDocument): ShoalError {
  const { done, total } = move.chunks
  const trouble = move.trouble === undefined ? '' : `: ${move.trouble}`
  return new ShoalError(
    { code: 'CONFLICT', what: move.id },
    `move ${move.id} ${move.state} with ${done} of ${plural(total, 'chunk')} moved${trouble}`
  )
}
