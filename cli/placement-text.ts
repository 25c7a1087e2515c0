/** Why a new volume lies where it lies, in words. */
import type { CreatedDocument, PlaceDocument } from '../node/control/documents.ts'
import { percent, size } from './output.ts'

const MAX_SHOWN = 8

/** A line for each node, and for each that its forecast spoke against. */
export function placementLines(
  { nodes, passedOver }: CreatedDocument,
  isLoadExpected: boolean
): string[] {
  const width = Math.max(...nodes.map(node => node.name.length))
  const shown = nodes.slice(0, MAX_SHOWN)
  const more = nodes.length - shown.length
  return [
    ...shown.map(node => `  ${node.name.padEnd(width)}  ${placeText(node, isLoadExpected)}`),
    ...(more === 0 ? [] : [`  and ${more} more`]),
    ...passedOver
      .slice(0, MAX_SHOWN)
      .map(node => `  not ${node.name}: ${forecastText(node, isLoadExpected)}`)
  ]
}

function placeText(node: PlaceDocument, isLoadExpected: boolean): string {
  const { region, distanceMs, availableBytes } = node
  const away = distanceMs === undefined ? 'distance unknown' : awayText(distanceMs)
  return `${region}, ${away}, ${size(availableBytes)} free, ${forecastText(node, isLoadExpected)}`
}

function awayText(distanceMs: number): string {
  return distanceMs === 0 ? 'here' : `${distanceMs.toFixed(1)} ms away`
}

function forecastText({ forecast }: PlaceDocument, isLoadExpected: boolean): string {
  if (forecast === undefined) return 'load to come unknown'
  const { peakPart, overMinutes, from } = forecast
  if (!isLoadExpected) return `at most ${percent(peakPart)} of its threshold in the next hour`
  const basis = from === 'outlook' ? 'the next day' : 'as in the next hour'
  const over = overMinutes === 0 ? '' : `, above it for ${timeText(overMinutes)}`
  return `at most ${percent(peakPart)} of its threshold when the volume is busy${over} (${basis})`
}

function timeText(minutes: number): string {
  if (minutes < 60) return `${minutes} min`
  const rest = minutes % 60
  return rest === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${rest} min`
}
