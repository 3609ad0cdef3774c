#!/bin/sh
# Speak every line of voices.csv with flite into a 16 kHz mono FLAC beside it.
# Needs Debian's flite and sox. Other versions of either make other bytes of the same voices.
set -eu
cd "$(dirname "$0")"

wav=$(mktemp --suffix=.wav)
trap 'rm -f "$wav"' EXIT

tail -n +2 voices.csv | while IFS=, read -r file voice text; do
    # `speed` resamples: pitch, formants and tempo all move by the factor, as with a smaller or larger head
    case $voice in
        slt-high) base=slt speed=1.14 ;;
        rms-low) base=rms speed=0.88 ;;
        *) base=$voice speed=1 ;;
    esac
    flite -voice "$base" -t "$text" -o "$wav"
    # -D: no dither, so that the same input gives the same bytes
    sox -D "$wav" --comment "" -r 16000 -c 1 -b 16 "$file" speed "$speed" rate -v 16000
done
