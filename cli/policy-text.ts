/** What is set for the balancing of a volume, in words. */
import type { VolumeBalance } from '../protocols/balance/types.ts'
import { formatSize } from '../protocols/layout/sizes.ts'
import { plural } from './output.ts'

/** `on, to eu-west, at most 20 ms from its gateway`. */
export function policyText(policy: VolumeBalance): string {
  const { isOn, regions, maxRttMs, horizonMinutes, thresholdPart } = policy
  const { movesPerHour, bytesPerHour } = policy
  return [
    isOn ? 'on' : 'off: only people move it',
    ...(regions === undefined ? [] : [`only in ${regions.join(', ')}`]),
    ...(maxRttMs === undefined ? [] : [`at most ${maxRttMs} ms from its gateway`]),
    ...(horizonMinutes === undefined ? [] : [`looks ${minutesText(horizonMinutes)} ahead`]),
    ...(thresholdPart === undefined
      ? []
      : [`threshold ${Number((thresholdPart * 100).toFixed(1))} % of a node's capacity`]),
    ...(movesPerHour === undefined ? [] : [`${plural(movesPerHour, 'move')} an hour and node`]),
    ...(bytesPerHour === undefined ? [] : [`${formatSize(bytesPerHour)} an hour and node`])
  ].join('; ')
}

export function limitText({ maxIops }: VolumeBalance): string {
  return maxIops === undefined ? 'none' : `${maxIops} IOPS`
}

function minutesText(minutes: number): string {
  return minutes % 60 === 0 ? `${minutes / 60} h` : `${minutes} min`
}
