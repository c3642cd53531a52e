import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** A Java service: a live set, garbage, and what else it is told. Sizes in MiB, rates in MiB a second. */
public class Heap {
    static final int PIECE = 64 << 10;
    static final double TICK = 0.05;
    static Object last;

    public static void main(String[] args) throws Exception {
        double live = Double.parseDouble(args[1]), rate = Double.parseDouble(args[2]);
        double third = args.length > 3 ? Double.parseDouble(args[3]) : 0;
        List<byte[]> kept = new ArrayList<>();
        List<ByteBuffer> leaked = new ArrayList<>();
        double garbage = 0, start = System.nanoTime() / 1e9;
        while (true) {
            double seconds = System.nanoTime() / 1e9 - start;
            // A cache that fills ever slower: 95 % of it after the third argument's seconds.
            double due = args[0].equals("warm") ? live * (1 - Math.exp(-3 * seconds / third)) : live;
            while (kept.size() < due * 16) kept.add(touched());
            double leak = args[0].equals("leak") ? third * Math.max(0, seconds - 58) : 0;
            while (leaked.size() < leak * 16) {
                ByteBuffer buffer = ByteBuffer.allocateDirect(PIECE);
                while (buffer.hasRemaining()) buffer.put((byte) 1);
                leaked.add(buffer);
            }
            for (garbage += rate * TICK * 16; garbage >= 1; garbage--) last = touched();
            Thread.sleep((long) (TICK * 1000));
        }
    }

    static byte[] touched() {
        byte[] piece = new byte[PIECE];
        for (int at = 0; at < PIECE; at += 4096) piece[at] = 1;
        return piece;
    }
}
