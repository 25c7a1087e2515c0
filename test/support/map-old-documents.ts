/**
 * Whole documents, base64, as a build wrote them that knew neither policies of volumes nor costs of
 * links: format version 1. Never made anew: what they hold must be read for ever.
 */

/** Volume 1 of map-records.ts: spec, size, zone Europe/Berlin. */
export const OLD_VOLUME =
  'AQMLACMBBmNsYWltcxdzcGVjLzAvMjIxNzlhZWExNWVlMDY3N3iEZHNwZWOmYmlkeCAwMDAwMDAwMDAwMDAw' +
  'MDAwMDAwMDAwMDAwMDAwMDAwMWZjb3BpZXMBZ2NvbHVtbnMBamdlbmVyYXRpb24Aa2V4dGVudEJ5dGVzGgQA' +
  'AABvc3RyaXBlVW5pdEJ5dGVzGgABAAAZAfRlbm9ydGgjAQZjbGFpbXMqc2l6ZS8xLjAwMDAwMDAwMDAwMDAw' +
  'MDEuMC84NDJiYTgxZmM5NjA3NDNmHYNkc2l6ZRkQAIMBcDAwMDAwMDAwMDAwMDAwMDEAIwEGY2xhaW1zSnpv' +
  'bmUvMS4xMkQzS29vV3h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHgxMi81NTJkYWY4' +
  'ZDljNDU1MjU3SYRkem9uZW1FdXJvcGUvQmVybGluAXgyMTJEM0tvb1d4eHh4eHh4eHh4eHh4eHh4eHh4eHh4' +
  'eHh4eHh4eHh4eHh4eHh4eHh4MTIA'

/** A mesh of node-1 and the volume `web`. */
export const OLD_MESH =
  'AQIMACMBBmNsYWltc0xub2RlLzEyRDNLb29XeHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4' +
  'eHh4eDEyLzEuMC81Y2JjMGM1NmMwZTZjODEyigGNZG5vZGV4MjEyRDNLb29XeHh4eHh4eHh4eHh4eHh4eHh4' +
  'eHh4eHh4eHh4eHh4eHh4eHh4eHh4eDEyAXAwMDAwMDAwMDAwMDAwMDAxAGZub2RlLTFlbm9ydGhmaG9zdC0x' +
  'ZG5vZGUaQAAAAIF2L2lwNC8xMC4wLjAuMS90Y3AvNDAwMGUwLjEuMPYjAQZjbGFpbXNydm9sdW1lLzAwMDAw' +
  'MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAxL25hbWUvMS8xMkQzS29vV3h4eHh4eHh4eHh4eHh4eHh4eHh4' +
  'eHh4eHh4eHh4eHh4eHh4eHh4eHgxMi8zY2VhNmM4MWMyNzM4NWQ1YoZkbmFtZXggMDAwMDAwMDAwMDAwMDAw' +
  'MDAwMDAwMDAwMDAwMDAwMDFjd2ViAXgyMTJEM0tvb1d4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4' +
  'eHh4eHh4eHh4MTIBAA=='
